"""Whose turn it is to be read while much is to be read: what is said of one job comes together.

A job has a record in its queue, and later ones in the topics of its state, all of the same
partition. Put together in memory they are one row to write instead of several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from streams.projection.batch import Place
from streams.projection.progress import Partition

STAY: Final = 3_000
"""Records of one group of partitions, about, before it is another's turn."""


class Turn(NamedTuple):
    """What to read from now."""

    partitions: Sequence[Partition]  # none: all
    waits: bool = True  # until there is something, for a moment


class Turns:
    """Partitions of one number are a group; of each it reads what is of the earliest jobs."""

    def __init__(
        self,
        places: Mapping[Partition, Place],
        goals: Mapping[Partition, int],
        others: Sequence[Partition] = (),  # that tell of no jobs, and are read in between
    ) -> None:
        self._places = places  # which the reading moves
        self._left = dict(goals)  # of those that are not read up to them
        self._others = others
        self._number: int | None = None
        self._read = 0
        self._until: int | None = None  # up to jobs of this time, as it is to be another's turn
        self._is_of_others = bool(self._others)
        self._is_of_any = False

    @property
    def is_over(self) -> bool:
        """Whether all of them have reached their goals: then any may be read."""
        return not self._left

    def next(self) -> Turn:
        """The next one."""
        if not self._left or self._is_of_any:
            self._is_of_any = False
            return Turn([])
        if self._is_of_others:
            self._is_of_others = False
            return Turn(self._others, waits=False)
        if self._number is None:
            first = min(self._left, key=self._time)
            self._number, self._read, self._until = first[1], 0, None
            self._is_of_others = bool(self._others)
        group = self._group()
        earliest = min(map(self._time, group))
        return Turn([of for of in group if self._time(of) == earliest])

    def took(self, turn: Turn, records: int, reached: Mapping[Partition, int]) -> None:
        """So many records were read in a turn, up to these positions."""
        for of, position in reached.items():
            if of in self._left and position >= self._left[of]:
                del self._left[of]
        self._read += records
        if self._read >= STAY and self._until is None:
            self._until = max((self._time(of) for of in self._group()), default=0)
        # What the others of the group say of these jobs is still read.
        if self._until is None:
            is_done = not self._group()
        else:
            is_done = all(self._time(of) >= self._until for of in self._group())
        if is_done:
            self._number = None
        # Who has nothing to give just now must not hold up the rest.
        self._is_of_any = turn.waits and not records

    def _group(self) -> list[Partition]:
        return [of for of in self._left if of[1] == self._number]

    def _time(self, of: Partition) -> int:
        place = self._places.get(of)
        return 0 if place is None else place.time
