"""The audit of one partition: takes what its topics have, and says what became of each job. Pure.

What is below the commit of the queue must be known to state, and what state has let go must be
over. The records come in the order retry, ledger, queue, each topic up to an end that was looked up
after the one before: a job that moves on meanwhile is then seen twice, and never not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from zlib import crc32

from streams.audit.fault import (
    NEVER_ENQUEUED,
    NO_LETTER,
    NO_LETTER_OF_BYTES,
    NOWHERE,
    TAKEN_FROM_LEDGER,
    TAKEN_FROM_QUEUE,
    TAKEN_FROM_RETRY,
    Fault,
)
from streams.audit.life import Entry, Life
from streams.audit.lives import Lives
from streams.audit.rules import SKEW_MS, TOMBSTONES_MS, Rules
from streams.audit.tally import Tally
from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.wire.envelope import Record, check_size, decode
from streams.wire.letters import letter_key
from streams.wire.partition import partition_of

QUEUED = "queued"
UNTAKEN = "untaken"  # a record of the queue of which state says nothing yet
LETTER = "letter"  # of what can't be decoded
FORWARD = "forward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is not over at a checkpoint: a job, a letter or a forwarded record to look for."""

    state: str  # of the job; or what it is
    key: bytes
    time: int = 0
    generation: int = 0
    run: int = 0
    has_letter: bool = False
    offset: int = -1  # in the queue
    sent: int = 0
    to: int = -1  # the partition that it was forwarded to


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Where the topics of a partition begin and end for an audit."""

    queue_start: int = 0  # before anything was read
    queue_first: int = 0  # and after: workers trim meanwhile
    queue: int = 0
    retry: int = 0
    ledger: int = 0
    ledger_start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Up to where the last audit has read the topics of a partition, and what it counted."""

    queue: int = 0
    retry: int = 0
    ledger: int = 0
    retry_epoch: int = 0
    ledger_epoch: int = 0
    commit: int = 0
    ended_to: int = 0  # nothing that it has read of the ledger ended later
    tally: Tally = field(default_factory=Tally)


class PlaceAudit:
    """One partition of one queue; of its identities those of one slice, so that memory is bounded.

    First `expect` what the last checkpoint left open, then take the records, then `questions`: if
    there are any and there was a checkpoint, take the ledger's older records of these, too. At last
    the letters that were asked for, and `judge`.
    """

    def __init__(
        self,
        *,
        queue: str,
        partition: int,
        partitions: int,
        rules: Rules,
        since: Since | None = None,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.queue = queue
        self.partition = partition
        self.lives = Lives()
        self.tally = Tally()
        self.forwards: list[Row] = []
        self.committed = 0  # as the group has it
        self._since = since
        self._partitions = partitions
        self._rules = rules
        self._part, self._parts = part, parts
        self._faults: list[Fault] = []
        self._odd: list[Row] = []  # letters and forwards above the commit
        self._ledger_read = 0

    # -- taking --------------------------------------------------------------------------------

    def expect(self, row: Row) -> None:
        """What was not over at the last checkpoint."""
        if not self._is_ours(row.key):
            return
        if row.state in (LETTER, FORWARD):
            self._odd.append(row)
            return
        life = self.lives.begin(row.key, row.time)
        life.is_known = True
        life.offset, life.sent = row.offset, row.sent
        if row.state != UNTAKEN:
            life.entry = Entry(row.generation, row.run, row.state, row.has_letter)

    def take_retry(self, record: Record) -> None:
        """A record of the retry topic that counts."""
        if self._is_ours(record.key or b""):
            self.lives.take_retry(record)

    def take_ledger(self, record: Record) -> None:
        """A record of the ledger that counts."""
        self._ledger_read += 1
        if self._is_ours(record.key or b""):
            self.lives.take_ledger(record)

    def take_queue(self, record: Record) -> None:
        """A record of the queue."""
        try:
            check_size(record)
            envelope = decode(record)
        except UndecodableRecord:
            self._take_undecodable(record)
            return
        job = JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id)
        key = job.encode()
        if not self._is_ours(key):
            return
        if envelope.key is not None and record.key is not None and self._is_misplaced(record.key):
            self.tally.forwarded += 1
            self._odd.append(
                Row(
                    state=FORWARD,
                    key=key,
                    time=envelope.time,
                    offset=record.offset,
                    to=partition_of(record.key, self._partitions),
                )
            )
            return
        life = self.lives.begin(key, envelope.time)
        if life.is_known:
            self.tally.duplicates += 1
            return
        life.is_known = True
        life.offset, life.sent = record.offset, record.timestamp
        life.is_moved = envelope.moved_from is not None
        self.tally.accepted += 1

    def _take_undecodable(self, record: Record) -> None:
        key = f"{record.topic}/{record.partition}/{record.offset}".encode()
        if self._is_ours(key):
            self.tally.undecodable += 1
            row = Row(state=LETTER, key=key, offset=record.offset, sent=record.timestamp)
            self._odd.append(row)

    def take_older(self, record: Record, wanted: frozenset[bytes]) -> None:
        """A record of the ledger from before the checkpoint."""
        if record.key in wanted:
            self.lives.take_older(record)

    def _is_ours(self, key: bytes) -> bool:
        return key[:1] == b"#" or self._parts == 1 or crc32(key) % self._parts == self._part

    def _is_misplaced(self, record_key: bytes) -> bool:
        return partition_of(record_key, self._partitions) != self.partition

    # -- judging -------------------------------------------------------------------------------

    @property
    def commit(self) -> int:
        """Below it everything is settled or taken over."""
        before = 0 if self._since is None else self._since.commit
        return max(self.lives.commit, self.committed, before)

    def questions(self) -> frozenset[bytes]:
        """Identities of which the checkpoint has perhaps counted something that bears on them."""
        commit, ended_to = self.commit, 0 if self._since is None else self._since.ended_to
        asked = set(self.lives.removed)
        for key, life in self.lives:
            if not life.is_known or (not life.has_state and life.offset < commit):
                asked.add(key)
            elif life.ending is not None and life.ending.ended <= ended_to:
                asked.add(key)  # perhaps it was written again, and is a copy in the queue as well
        return frozenset(asked)

    def letters_wanted(self) -> dict[bytes, tuple[bool, Fault]]:
        """The keys of letters to look for: whether each must stand, and what it is if it does not.

        Of one that need not stand a tombstone is as good; so is a new one of the others, which goes
        before the end of a job that is discarded.
        """
        commit, wanted = self.commit, {}
        for key, life in self.lives:
            if life.entry is not None and life.entry.has_letter and not life.is_over:
                fault = self._fault(NO_LETTER, key, life)
                wanted[letter_key(JobKey.decode(key), self.queue, life.entry.generation)] = (
                    True,
                    fault,
                )
        for row in self._odd:
            if row.state == LETTER and row.offset < commit:
                fault = Fault(
                    why=NO_LETTER_OF_BYTES,
                    queue=self.queue,
                    partition=self.partition,
                    offset=row.offset,
                    key=row.key,
                )
                if row.sent > self._rules.now - TOMBSTONES_MS:
                    wanted[row.key] = (False, fault)
        return wanted

    def judge(self, ends: Ends) -> list[Fault]:
        """Count what became of all of them; what is unaccounted for."""
        self._faults = [
            replace(fault, queue=self.queue, partition=self.partition)
            for fault in self.lives.faults
        ]
        for key, life in self.lives:
            self._judge(key, life, ends)
        self.forwards = [r for r in self._odd if r.state == FORWARD and r.offset < self.commit]
        return self._faults

    def rows(self) -> Iterator[Row]:
        """What is not over, for the next audit."""
        commit = self.commit
        yield from (row for row in self._odd if row.offset >= commit)
        for key, life in self.lives:
            if life.entry is not None and not life.is_over:
                entry = life.entry
                yield Row(
                    state=entry.state,
                    key=key,
                    time=life.time,
                    generation=entry.generation,
                    run=entry.run,
                    has_letter=entry.has_letter,
                    offset=life.offset,
                    sent=life.sent,
                )
            elif not life.has_state and life.is_known and life.offset >= commit:
                yield Row(
                    state=UNTAKEN, key=key, time=life.time, offset=life.offset, sent=life.sent
                )

    def _judge(self, key: bytes, life: Life, ends: Ends) -> None:
        if not life.has_state:
            if life.is_known:
                self._judge_stateless(key, life, ends)
            return
        tally, rules = self.tally, self._rules
        was_counted = life.is_old
        if life.is_back:
            assert life.old is not None
            tally.note_over(life.old.state, -1)
            life.is_old = False
        if was_counted and life.is_known:  # a copy of what was over at the last checkpoint
            tally.accepted -= 1
            tally.duplicates += 1
        if not life.is_known and not was_counted and not self._accept_unseen(key, life, ends):
            return
        if life.is_over:
            assert life.ending is not None
            if life.removed is not None and not rules.may_be_trimmed(
                life.ending.ended, life.removed.timestamp
            ):
                if life.is_old:
                    tally.note_over(life.ending.state, -1)
                self._lose(TAKEN_FROM_LEDGER, key, life, life.removed.offset)
            elif not life.is_old:
                tally.note_over(life.ending.state)
        elif life.entry is not None:
            if life.entry.state == "dead":
                tally.dead += 1
            else:
                tally.note_pending(life.entry.state)
        elif life.closed is not None:
            self._judge_closed(key, life, ends)

    def _accept_unseen(self, key: bytes, life: Life, ends: Ends) -> bool:
        """State has it, and no record of the queue that was read: whether it counts."""
        since = self._since
        begin = 0 if since is None else since.queue
        if life.is_restored or ends.queue_first > begin:
            self.tally.accepted += 1  # its record was trimmed before it was read, or elsewhere
            return True
        if since is None or life.ending is None:
            self._faults.append(self._fault(NEVER_ENQUEUED, key, life))
        # Else a recovery has written again what is older than the checkpoint.
        return False

    def _judge_closed(self, key: bytes, life: Life, ends: Ends) -> None:
        assert life.closed is not None
        entry, removal = life.closed
        if self._rules.is_unrecorded(key):
            self.tally.unrecorded += 1
        elif ends.ledger_start > 0 and self._rules.may_be_trimmed(removal.timestamp):
            self.tally.forgotten += 1
        else:
            what = f"its entry was {entry.state}"
            self._lose(TAKEN_FROM_RETRY, key, life, removal.offset, detail=what)

    def _judge_stateless(self, key: bytes, life: Life, ends: Ends) -> None:
        """Its record was in the queue, and that is all."""
        tally, rules = self.tally, self._rules
        if life.offset >= self.commit:
            if life.offset < ends.queue_start:
                self._lose(TAKEN_FROM_QUEUE, key, life, life.offset)
            else:
                tally.note_pending(QUEUED)
            return
        others = [each for each in self.lives.of(key) if each is not life and each.has_state]
        if any(self._covers(other, life, key) for other in others):
            tally.accepted -= 1
            tally.duplicates += 1
        elif any(other.time > life.time for other in others) and not self._is_whole(ends):
            tally.forgotten += 1  # it came first, and its record was compacted
        elif rules.is_unrecorded(key):
            tally.unrecorded += 1
        elif ends.ledger_start > 0 and rules.may_be_trimmed(
            (life.sent or life.time) - rules.unique_for_of(key)
        ):
            tally.forgotten += 1
        elif life.offset < ends.queue_start and self._since is not None:
            self._lose(TAKEN_FROM_QUEUE, key, life, life.offset)
        else:
            self._lose(NOWHERE, key, life, life.offset)

    def _covers(self, other: Life, copy: Life, key: bytes) -> bool:
        """Whether a record was dropped, as it is a copy of a job that was known."""
        if 0 <= copy.offset < other.offset:
            return False  # it came first
        if copy.time <= other.time or other.entry is not None:
            return True
        if copy.is_moved and other.ending is not None and other.ending.state != "completed":
            return False  # it came back, and its end here was none
        if other.ending is None:
            return True  # it was open for some time, and it is told below what became of that
        until = max(other.ending.covers, other.ending.ended + self._rules.unique_for_of(key))
        # By its sender's clock it may be later than it was: it came before that end.
        return copy.time < until + SKEW_MS or 0 < copy.sent < other.ending.ended

    def _is_whole(self, ends: Ends) -> bool:
        """Whether nothing of the ledger was compacted in what was read of it."""
        begin = 0 if self._since is None else self._since.ledger
        return ends.ledger_start <= begin and self._ledger_read == ends.ledger - begin

    def _lose(
        self,
        why: str,
        key: bytes,
        life: Life,
        offset: int,
        detail: str = "",
    ) -> None:
        self.tally.unaccounted += 1
        self._faults.append(self._fault(why, key, life, offset, detail))

    def _fault(
        self, why: str, key: bytes, life: Life, offset: int | None = None, detail: str = ""
    ) -> Fault:
        return Fault(
            why=why,
            queue=self.queue,
            partition=self.partition,
            key=key,
            offset=life.offset if offset is None else offset,
            detail=detail,
        )


def unseen(since: Since | None, ends: Ends) -> int:
    """How many offsets of the queue no audit has read."""
    return max(0, ends.queue_first - (0 if since is None else since.queue))


def by_target(forwards: Iterable[Row]) -> dict[int, dict[bytes, Row]]:
    """What was forwarded, by the partition where it must be."""
    found: dict[int, dict[bytes, Row]] = {}
    for row in forwards:
        found.setdefault(row.to, {})[row.key] = row
    return found
