"""A job as a row: what its queue says of it, what its state says, and what follows from both.

Each half keeps the greatest of what was read of it, in an order that does not depend on when it was
read. So a row is the same in whatever order its topics were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streams.projection.states import CODES, FIRST_OVER, QUEUED, SCHEDULED, UNTOLD_CODE
from streams.wire.outline import Seen, Sent

NOWHERE: Final = 0
RETRY: Final = 1
LEDGER: Final = 2  # of the same position it is later: an entry is written before its job ends

THERE: Final = 0
REMOVED: Final = 1  # from the retry topic; what the ledger says of it may not be read yet
PAST: Final = 2  # it is, and nothing is to come


class Row:
    """One job; times in milliseconds since the epoch, -1 where there is none."""

    __slots__ = (
        "at",
        "attempts",
        "done",
        "due",
        "entry",
        "error",
        "generation",
        "hash",
        "id",
        "key",
        "key_hash",
        "kind",
        "message",
        "n",
        "parent",
        "partition",
        "run",
        "seen_due",
        "seen_in",
        "seen_offset",
        "seen_state",
        "seen_time",
        "sent_due",
        "sent_is_past",
        "sent_offset",
        "sent_time",
        "since",
        "state",
        "time",
        "total",
        "unique_until",
    )

    n: int | None  # its number here
    hash: int  # of its id
    kind: int  # which name in which queue
    partition: int
    id: str
    key: str | None  # the ordering key with its scope
    key_hash: int | None
    parent: str | None  # the id of what it comes from
    # As its queue has it.
    sent_time: int
    sent_offset: int
    sent_due: int | None
    sent_is_past: int  # all of the queue up to it is settled or taken over
    # As the latest record of its state has it.
    seen_in: int
    seen_offset: int
    seen_time: int
    generation: int
    run: int
    seen_state: int
    since: int
    seen_due: int | None
    unique_until: int
    entry: int  # whether that is still in the retry topic
    attempts: int
    error: int | None
    message: str | None
    done: int | None
    total: int | None
    # What follows.
    state: int
    at: int  # since when it is so
    due: int | None
    time: int  # when it was sent

    def __init__(
        self, hash: int, kind: int, partition: int, id: str, key: str | None, key_hash: int | None
    ) -> None:
        self.n = None
        self.hash = hash
        self.kind = kind
        self.partition = partition
        self.id = id
        self.key = key
        self.key_hash = key_hash
        self.parent = None
        self.sent_time = self.sent_offset = -1
        self.sent_due = None
        self.sent_is_past = 0
        self.seen_in = NOWHERE
        self.seen_offset = self.seen_time = -1
        self.generation = self.run = 0
        self.seen_state = QUEUED
        self.since = -1
        self.seen_due = None
        self.unique_until = 0
        self.entry = THERE
        self.attempts = 0
        self.error = self.message = self.done = self.total = None
        self.state = QUEUED
        self.at = self.time = -1
        self.due = None

    @classmethod
    def of(cls, values: Sequence[Any]) -> Row:
        """The row of these values, in the order of `COLUMNS`."""
        row = cls.__new__(cls)
        (
            row.at,
            row.attempts,
            row.done,
            row.due,
            row.entry,
            row.error,
            row.generation,
            row.hash,
            row.id,
            row.key,
            row.key_hash,
            row.kind,
            row.message,
            row.n,
            row.parent,
            row.partition,
            row.run,
            row.seen_due,
            row.seen_in,
            row.seen_offset,
            row.seen_state,
            row.seen_time,
            row.sent_due,
            row.sent_is_past,
            row.sent_offset,
            row.sent_time,
            row.since,
            row.state,
            row.time,
            row.total,
            row.unique_until,
        ) = values
        return row

    @property
    def rank(self) -> tuple[int, ...]:
        """How far it is: of two rows of one job the greater one is the later."""
        seen = (self.seen_time, self.generation, self.run, self.seen_in, self.seen_offset)
        return (*seen, self.sent_time, -self.sent_offset, self.sent_is_past, self.entry)

    def take_sent(self, sent: Sent, offset: int) -> None:
        """What the queue says; of copies the first counts."""
        if sent.time < self.sent_time or (
            sent.time == self.sent_time and offset > self.sent_offset
        ):
            return
        self.sent_time, self.sent_offset, self.sent_due = sent.time, offset, sent.due
        self.sent_is_past = 0
        self._take_parent(sent.parent)

    def take_seen(self, seen: Seen, source: int, offset: int, error: int | None) -> bool:
        """What a record of its state says; whether that is news."""
        rank = (seen.time, seen.generation, seen.run, source, offset)
        own = (self.seen_time, self.generation, self.run, self.seen_in, self.seen_offset)
        if rank <= own:
            return False
        self.seen_time, self.generation, self.run, self.seen_in, self.seen_offset = rank
        self.seen_state = CODES[seen.state]
        self.since, self.seen_due = seen.since, seen.due
        self.unique_until = seen.unique_until
        self.entry = THERE
        self.attempts, self.error, self.message = seen.attempts, error, seen.message
        self.done, self.total = (None, None) if seen.progress is None else seen.progress
        self._take_parent(seen.parent)
        return True

    def _take_parent(self, parent: str | None) -> None:
        """Of several, the same one in whatever order they came."""
        if parent is not None and (self.parent is None or parent > self.parent):
            self.parent = parent

    def take_removal(self, source: int) -> None:
        """Its record was removed from a topic of its state."""
        if self.seen_in != source:
            return
        if source == RETRY:
            self.entry = max(self.entry, REMOVED)
        else:  # what an earlier owner wrote late; the next record says how it really is
            self.seen_in, self.seen_time, self.generation, self.run = NOWHERE, -1, 0, 0
            self.seen_offset = -1

    def conclude(self) -> None:
        """Follow from both halves how the job is."""
        self.time = max(self.sent_time, self.seen_time)
        if self._is_as_sent():
            self.due = self.sent_due
            self.state = QUEUED if self.due is None or self.due <= self.sent_time else SCHEDULED
            self.at = self.sent_time
            if self.sent_is_past:
                self.state = UNTOLD_CODE
        else:
            self.state, self.at, self.due = self.seen_state, self.since, self.seen_due
            self.time = self.seen_time
            if self.entry == PAST:
                self.state = UNTOLD_CODE

    def _is_as_sent(self) -> bool:
        """Whether what the queue says of it is still to be decided, or all there is."""
        if self.seen_in == NOWHERE:
            return True
        if self.sent_time <= self.seen_time or self.sent_is_past:
            return False
        # Its id came again: while it is open, and for a while after, that is dropped.
        is_over = self.seen_state >= FIRST_OVER or self.entry == PAST
        return is_over and self.sent_time >= self.unique_until


COLUMNS: Final = Row.__slots__
