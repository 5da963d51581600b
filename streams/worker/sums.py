"""How many jobs a partition took from its queue, and what became of them: kept with its state.

All of it changes in the write that changes the state that it counts, so that it adds up after each.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from typing import Final

import orjson

from streams.jobs.states import State

SUMS: Final = b"#sums"
"""Its key in the store, and that of a copy in the retry topic, for a disk that is lost."""

_packed = struct.Struct(">11q")


@dataclass(slots=True, kw_only=True)
class Sums:
    """Since the partition was made; each field is a number of jobs, or of records."""

    accepted: int = 0  # jobs whose record is settled or taken over
    completed: int = 0
    cancelled: int = 0
    discarded: int = 0
    expired: int = 0
    unrecorded: int = 0  # completed with ledger=False
    duplicates: int = 0  # records of jobs that were known
    forwarded: int = 0
    undecodable: int = 0
    drift: int = 0  # unaccounted when the last recovery began, which reckons with what state has
    since: int = 0  # the offset of the ledger from which on a recovery counts what is over

    @property
    def over(self) -> int:
        """How many are over."""
        ended = self.completed + self.cancelled + self.discarded + self.expired
        return ended + self.unrecorded

    def unaccounted(self, entries: int) -> int:
        """How many more were accepted than are over or open; 0 if all is well."""
        return self.accepted - self.over - entries

    def end(self, state: State, count: int = 1) -> None:
        """One more is over."""
        match state:
            case State.COMPLETED:
                self.completed += count
            case State.CANCELLED:
                self.cancelled += count
            case State.DISCARDED:
                self.discarded += count
            case State.EXPIRED:
                self.expired += count

    def restore(self, before: State | None) -> None:
        """A job is there again that was over as this; None: that is new here."""
        if before is None:
            self.accepted += 1
        else:
            self.end(before, -1)

    def told(self) -> dict[str, int]:
        """What was counted, by what it is."""
        return {name: getattr(self, name) for name in _NAMES if name not in ("drift", "since")}

    def pack(self) -> bytes:
        """For the store."""
        return _packed.pack(*astuple(self))

    def encode(self, *, unaccounted: int, ledger: int, retry: int, arrivals_end: int) -> bytes:
        """The copy, with what does not add up, and of which state it is."""
        told = {**self.told(), "drift": unaccounted, "since": ledger}
        return orjson.dumps({**told, "retry": retry, "arrivals_end": arrivals_end})


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Sums in the retry topic."""

    sums: Sums
    retry: int  # the end of that topic as it was; -1: nobody knows
    arrivals_end: int  # nothing that was open then had arrived at or behind it


def unpack(packed: bytes | None, entries: int) -> Sums:
    """What `pack` made; without it nothing was counted but what is open."""
    if packed is None:
        return Sums(accepted=entries)
    return Sums(**dict(zip(_NAMES, _packed.unpack(packed), strict=True)))


def decode(value: bytes) -> Copy:
    """What `encode` made.

    Raises:
        ValueError: it is something else.
    """
    try:
        told = orjson.loads(value)
        sums = Sums(**{name: int(told[name]) for name in _NAMES})
        # Workers before this version did not say of which state it is.
        retry, arrivals_end = int(told.get("retry", -1)), int(told.get("arrivals_end", 0))
        return Copy(sums=sums, retry=retry, arrivals_end=arrivals_end)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no sums: {error}") from error


_NAMES: Final = tuple(Sums.__dataclass_fields__)
