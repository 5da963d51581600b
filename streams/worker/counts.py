"""How much is in the open table of a partition, kept with it: opening a store counts nothing."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Final

from streams.jobs.states import State

_packed = struct.Struct(f">{7 + len(State)}Q")
PACKED_SIZE: Final = _packed.size


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a recount of the entries would say.

    A batch counts in a copy of its own.
    """

    entries: int = 0
    blocking: int = 0
    bounded: int = 0  # entries that count for the bounds of the open table
    bounded_bytes: int = 0
    arrivals_end: int = 0  # no entry has an arrival at or above it
    singles_over: int = 0  # ledger records that count for jobs like theirs
    held: int = 0  # by a limit, a rate, a breaker or a pause
    states: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))

    @property
    def dead(self) -> int:
        """Letters that nobody has resolved."""
        return self.states[State.DEAD]

    def copied(self) -> Counts:
        """One of its own."""
        return replace(self, states=dict(self.states))

    def pack(self) -> bytes:
        """As the store keeps it."""
        return _packed.pack(
            *(self.entries, self.blocking, self.bounded, self.bounded_bytes, self.arrivals_end),
            *(self.singles_over, self.held),
            *self.states.values(),
        )


def unpack_counts(packed: bytes) -> Counts:
    """What `pack` made."""
    entries, blocking, bounded, bounded_bytes, arrivals_end, singles_over, held, *states = (
        _packed.unpack(packed)
    )
    return Counts(
        entries=entries,
        blocking=blocking,
        bounded=bounded,
        bounded_bytes=bounded_bytes,
        arrivals_end=arrivals_end,
        singles_over=singles_over,
        held=held,
        states=dict(zip(State, states, strict=True)),
    )
