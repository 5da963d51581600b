"""What the topics of a partition say of one job, as little of it as an audit needs."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from streams.errors import UndecodableRecord
from streams.jobs.states import OVER, State
from streams.wire.single import read_single
from streams.wire.state import REPLACED


class Entry(NamedTuple):
    """Its entry in the open table."""

    generation: int
    run: int
    state: str
    has_letter: bool  # dead, and its letter was sent
    is_restored: bool = False  # a command brought it back, perhaps from elsewhere
    due: int | None = None

    @property
    def position(self) -> tuple[int, int]:
        """How far it is; later compares greater."""
        return (self.generation, self.run)


class Ending(NamedTuple):
    """Its record in the ledger."""

    generation: int
    run: int
    state: str
    ended: int
    covers: int  # until when the same id is refused
    digest: int  # of the record
    is_restored: bool = False
    epoch: int = 0  # the ownership under which it was written
    is_replaced: bool = False  # a later job with its id takes its place

    @property
    def position(self) -> tuple[int, int]:
        """How far it was."""
        return (self.generation, self.run)


class Removal(NamedTuple):
    """A tombstone."""

    offset: int
    timestamp: int


class Life:
    """One job: an identity may have several, one for each time that it was enqueued anew."""

    __slots__ = (
        "closed",
        "earlier",
        "ending",
        "entry",
        "entry_at",
        "is_known",
        "is_moved",
        "is_old",
        "offset",
        "old",
        "removed",
        "replaces_dead",
        "sent",
        "stands",
        "time",
        "was_open",
    )

    def __init__(self, time: int, earlier: Life | None) -> None:
        self.time = time
        self.earlier = earlier  # another life of this identity
        self.entry: Entry | None = None
        self.entry_at = -1  # the offset of its record
        self.stands = True  # that record is there, for all that is known
        self.closed: tuple[Entry, Removal] | None = None  # what it had in the open table, and when
        self.ending: Ending | None = None
        self.removed: Removal | None = None  # of its ledger record
        self.offset = -1  # of its record in the queue, if that was read
        self.sent = 0  # the broker's time of that
        self.is_known = False  # accepted: by its record in the queue, or before
        self.is_old = False  # the last checkpoint has counted its end
        self.old: Ending | None = None  # that end
        self.was_open = False  # at the last checkpoint
        self.is_moved = False  # it was dead in another queue before
        self.replaces_dead = False  # it runs in the place of a dead job with its id

    @property
    def is_over(self) -> bool:
        """Whether the ledger has it, which wins over an entry that is no newer."""
        if self.ending is None:
            return False
        return self.entry is None or self.ending.position >= self.entry.position

    @property
    def is_restored(self) -> bool:
        """Whether its record in the queue may be another cluster's."""
        closed = None if self.closed is None else self.closed[0]
        return any(
            each is not None and each.is_restored for each in (self.entry, self.ending, closed)
        )

    @property
    def is_back(self) -> bool:
        """Whether it went on after the end that was counted: a command brought it back."""
        if self.old is None:
            return False
        is_open = self.entry is not None and not self.is_over
        return is_open or (self.ending is not None and self.ending.position > self.old.position)

    @property
    def has_state(self) -> bool:
        """Whether state says anything of it, or has."""
        return self.entry is not None or self.ending is not None or self.closed is not None


def read_entry(value: bytes) -> tuple[int, Entry]:
    """Time of the job, and its entry.

    Raises:
        UndecodableRecord: these bytes are not an open entry.
    """
    try:
        end = value.find(b"\n")
        m = orjson.loads(value if end < 0 else value[:end])
        is_sent = m["state"] == "dead" and not m["letter_pending"]
        return int(m["time"]), Entry(
            generation=int(m["generation"]),
            run=int(m["run"]),
            state=_OPEN[m["state"]],
            has_letter=is_sent,
            is_restored="restored" in m,
            due=None if m.get("due") is None else int(m["due"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UndecodableRecord(f"not an open entry: {error}") from error


def read_ending(value: bytes, epoch: int = 0) -> tuple[int, Ending]:
    """Time of the job, and its ledger record.

    Raises:
        UndecodableRecord: these bytes are not a ledger record.
    """
    try:
        m = orjson.loads(value)
        ended = int(m["ended"])
        covers = ended + int(m.get("unique_for_ms", 86_400_000))
        single = read_single(m.get("single"))
        if single is not None and single.until is not None:
            covers = max(covers, single.until)
        state = _OVER[m["state"]]
        position = int(m["generation"]), int(m["run"])
        is_replaced = state == "discarded" and m.get("reason") == REPLACED
        is_restored, digest = "restored" in m, hash(value)
        ending = Ending(*position, state, ended, covers, digest, is_restored, epoch, is_replaced)
        return int(m["time"]), ending
    except (ValueError, KeyError, TypeError) as error:
        raise UndecodableRecord(f"not a ledger record: {error}") from error


# One object for all jobs of a state.
_OVER = {state.value: state.value for state in OVER}
_OPEN = {state.value: state.value for state in State if state not in OVER}
