"""How many jobs of a partition were accepted, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

OVER: Final = ("completed", "cancelled", "discarded", "expired")


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts since the first audit; what is dead or pending is as it is now.

    What was accepted is counted from the queue's records, and what became of it from those of the
    state topics: so that they add up says something.
    """

    accepted: int = 0
    completed: int = 0
    cancelled: int = 0
    discarded: int = 0
    expired: int = 0
    unrecorded: int = 0  # completed with ledger=False, which leaves no record
    forgotten: int = 0  # over; how is no longer on record
    dead: int = 0
    pending: dict[str, int] = field(default_factory=dict)  # by state
    unaccounted: int = 0
    acknowledged: int = 0  # unaccounted for in an audit of which somebody has taken note
    resolving: int = 0  # dead, and a worker had begun to discard, move or replay them
    duplicates: int = 0
    forwarded: int = 0
    undecodable: int = 0
    unseen: int = 0  # offsets that were trimmed before any audit had read them

    @property
    def waiting(self) -> int:
        """How many are pending, whatever their state."""
        return sum(self.pending.values())

    @property
    def lost(self) -> int:
        """How many are unaccounted for, by now or before."""
        return self.unaccounted + self.acknowledged

    @property
    def missing(self) -> int:
        """How many more were accepted than are accounted for; 0 if all is well."""
        over = self.completed + self.cancelled + self.discarded + self.expired
        past = over + self.unrecorded + self.forgotten
        return self.accepted - past - self.dead - self.waiting - self.lost

    def note_pending(self, state: str) -> None:
        """One more that waits."""
        self.pending[state] = self.pending.get(state, 0) + 1

    def note_over(self, state: str, by: int = 1) -> None:
        """One more that is over; or less, as it was counted before."""
        setattr(self, state, getattr(self, state) + by)

    def lasting(self) -> Tally:
        """What the next audit goes on from."""
        return Tally(**{name: getattr(self, name) for name in _LASTING})

    def __add__(self, other: Tally) -> Tally:
        total = Tally(
            **{name: getattr(self, name) + getattr(other, name) for name in (*_LASTING, *_NOW)}
        )
        for counts in (self.pending, other.pending):
            for state, count in counts.items():
                total.pending[state] = total.pending.get(state, 0) + count
        return total

    def plain(self) -> dict[str, Any]:
        """For programs."""
        told = asdict(self)
        by_state = told.pop("pending")
        return {**told, "pending": self.waiting, "pending_by_state": by_state}


_NOW: Final = ("dead", "unaccounted", "resolving")
_LASTING: Final = tuple(each.name for each in fields(Tally) if each.name not in (*_NOW, "pending"))


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    added = Tally()
    for tally in tallies:
        added += tally
    return added
