"""What each partition is read for, and how far: a batch that is lost on its way is noticed.

Between a fetch and the engine lie Faust's buffers, which it empties when partitions are revoked;
and a fetch that has begun goes on through a rebalance, so that what it brings may have been read at
a position of the assignment before, or of the next one. So each batch says from where on it was
fetched; a reader takes it only if it follows what he was given, and otherwise the partition is read
again from where he is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

P = TypeVar("P", bound=Hashable)


class Reader(Protocol):
    """Takes the batches of one partition, from its first offset on."""

    @property
    def wants_more(self) -> bool:
        """Whether its partition may be read further."""
        ...

    @property
    def position(self) -> int:
        """The offset behind the last record that it was given; at first where it begins."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that were fetched together; there are none between `start` and the first."""

    start: int
    records: Sequence[Any]

    def parts(self, most: int) -> Iterator[Batch]:
        """It, so many records at a time."""
        start = self.start
        for at in range(0, len(self.records), most):
            records = self.records[at : at + most]
            yield Batch(start, records)
            start = records[-1].offset + 1

    def follows(self, reader: Reader) -> bool:
        """Whether nothing is missing between what this reader was given and these."""
        return self.start <= reader.position


@dataclass(slots=True)
class _Place:
    reader: Reader
    next: int


class Reading(Generic[P]):
    """The places (partitions) that are read, each for one reader."""

    def __init__(self) -> None:
        self._places: dict[P, _Place] = {}

    def to_seek(self, readers: Mapping[P, Reader]) -> dict[P, int]:
        """The positions from which places must be read that were not yet read for their reader."""
        return {
            place: reader.position
            for place, reader in readers.items()
            if place not in self._places or self._places[place].reader is not reader
        }

    def sought(self, readers: Mapping[P, Reader], positions: Mapping[P, int]) -> None:
        """What is fetched next at these places begins at these positions."""
        for place, position in positions.items():
            self._places[place] = _Place(readers[place], position)

    def fetched(self, place: P, records: Sequence[Any]) -> Batch | None:
        """The batch of these records; None if nobody asked for this place."""
        read = self._places.get(place)
        if read is None:
            return None
        # A new assignment may have put the position back: then it begins before.
        batch = Batch(min(read.next, records[0].offset), records)
        read.next = records[-1].offset + 1
        return batch

    def again(self, places: Iterable[P] | None = None) -> None:
        """Seek anew at these places (all of them): what was fetched there did not arrive."""
        for place in list(self._places) if places is None else places:
            self._places.pop(place, None)
