"""Entries of the open table that were written lately, as values, so that none is read again.

Most of what fails is retried soon, and what waits behind it follows: an entry that is read from
the store and decoded costs several times as much as one that is still at hand. The store decides:
what is here is what was written there last, and it may have more.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from streams.jobs.states import State
from streams.wire.state import HISTORY_KEPT, Head, OpenEntry

ENTRIES_MAX: Final = 2_000  # for a partition
BYTES_MAX: Final = 2 * 1024 * 1024  # of what they are encoded


class Kept(NamedTuple):
    """An entry with what the indexes have of it."""

    entry: OpenEntry
    head: Head
    size: int  # as it is encoded


Turn = tuple[bool, int, bytes]  # whether it only waits, arrival, state key: as the rows of a lane


class Recent:
    """The latest entries that block their key or are retried; the oldest make way."""

    def __init__(self) -> None:
        self.blocking = 0  # how many of them block
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._lanes: dict[bytes, list[Turn]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, state_key: bytes) -> Kept | None:
        """The entry of a job, if it is here."""
        return self._kept.get(state_key)

    def lane(self, lane: bytes) -> Sequence[bytes]:
        """The state keys of those that block a lane, in the order of their turns."""
        return [state_key for _, _, state_key in self._lanes.get(lane, ())]

    def has_lane(self, lane: bytes) -> bool:
        """Whether one of them blocks this lane."""
        return lane in self._lanes

    def put(self, state_key: bytes, kept: Kept) -> None:
        """An entry was written."""
        self.drop(state_key)
        if not _is_worth_keeping(kept):
            return
        self._kept[state_key] = kept
        self._bytes += kept.size
        lane = kept.head.lane
        if lane is not None:
            self.blocking += 1
            insort(self._lanes.setdefault(lane, []), _turn(state_key, kept.head))
        while len(self._kept) > ENTRIES_MAX or self._bytes > BYTES_MAX:
            self.drop(next(iter(self._kept)))

    def drop(self, state_key: bytes) -> None:
        """An entry was removed, or is written as something that is not known here."""
        kept = self._kept.pop(state_key, None)
        if kept is None:
            return
        self._bytes -= kept.size
        lane = kept.head.lane
        if lane is not None:
            self.blocking -= 1
            turns = self._lanes[lane]
            del turns[bisect_left(turns, _turn(state_key, kept.head))]
            if not turns:
                del self._lanes[lane]


def _turn(state_key: bytes, head: Head) -> Turn:
    return head.state is State.PARKED, head.arrival, state_key


def _is_worth_keeping(kept: Kept) -> bool:
    # What is scheduled may wait for days. A longer history is not what the store has of it.
    is_soon = kept.head.lane is not None or kept.head.state is State.RETRYING
    return is_soon and len(kept.entry.history) <= HISTORY_KEPT
