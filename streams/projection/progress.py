"""How far each partition was read and written, and how far it goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Partition = tuple[str, int]
"""A topic's name and the number of one of its partitions."""


class Progress:
    """Positions are what the file has; an end is one that the broker has told."""

    def __init__(self) -> None:
        self.positions: dict[Partition, int] = {}
        self._begins: dict[Partition, int] = {}
        self.ends: dict[Partition, int] = {}
        self._goals: dict[Partition, int] = {}  # as the ends were at first

    def begin(self, position: int, begin: int, end: int, of: Partition) -> None:
        """Go on with a partition from this position."""
        self.positions[of], self._begins[of], self.ends[of] = position, begin, end
        self._goals.setdefault(of, end)

    def start_anew(self) -> None:
        """Nothing of what was written counts any more."""
        self.__init__()  # type: ignore[misc]

    def moved(self, of: Partition, position: int) -> None:
        """All before this position is in the file."""
        self.positions[of] = max(self.positions.get(of, 0), position)

    def ends_at(self, of: Partition, end: int) -> None:
        """So far a partition goes."""
        self.ends[of] = end

    @property
    def left(self) -> dict[Partition, int]:
        """The ends of those of which something is to be read."""
        return {of: end for of, end in self.ends.items() if self.positions[of] < end}

    @property
    def lag(self) -> int:
        """Records that are there and not in the file, as far as is known."""
        return sum(max(0, end - self.positions[of]) for of, end in self.ends.items())

    @property
    def share(self) -> float:
        """How much of what is there is in the file, from 0 to 1."""
        there = sum(max(0, end - self._begins[of]) for of, end in self.ends.items())
        return 1.0 if there == 0 else max(0.0, 1 - self.lag / there)

    @property
    def is_built(self) -> bool:
        """Whether it has all that was there at first."""
        return bool(self._goals) and self.has_reached(self._goals)

    def has_read(self, topics: Iterable[str]) -> bool:
        """Whether it has all that was there at first of some topics."""
        of = set(topics)
        return self.has_reached({at: goal for at, goal in self._goals.items() if at[0] in of})

    def has_reached(self, ends: Mapping[Partition, int]) -> bool:
        """Whether it has all that is before these ends."""
        return all(self.positions.get(of, 0) >= end for of, end in ends.items())
