"""What a projection does beside reading: notes what is over, forgets, says how fresh it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streams.projection.file import WRITTEN
from streams.projection.progress import Partition, Progress
from streams.projection.retention import Floors, Retention
from streams.projection.row import Row
from streams.projection.store import AT_ONCE, Commits, Store
from streams.wire.topics import TopicNames

_FORGET_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What was done."""

    rows: list[Row]  # that changed
    floors: Floors
    is_done: bool  # there is no more to do at once


class Keeper:
    """Keeps one file; between connections it is the same one."""

    def __init__(self, names: TopicNames, queues: Sequence[str], retention: Retention) -> None:
        self._names = names
        self._queues = queues
        self._retention = retention
        self._told: tuple[Mapping[Partition, int], int] = ({}, 0)  # ends, and when they were told

    def begin(self, ends: Mapping[Partition, int], now: int) -> None:
        """Its topics had these ends."""
        self._told = (ends, now)

    def keep(
        self,
        store: Store,
        progress: Progress,
        commits: Commits,
        ends: Mapping[Partition, int],
        now: int,
    ) -> Kept:
        """Do some of it; `ends` are what the broker told after `commits` were read."""
        ready = {
            (queue, number): commit
            for (queue, number), commit in commits.items()
            if _has_reached(progress, (self._names.ledger(queue), number), ends)
        }
        rows = store.sweep(ready)
        # What is read of a job that was forgotten would look new.
        read = [
            queue
            for queue in self._queues
            if progress.has_read([self._names.queue(queue), self._names.retry(queue)])
        ]
        floors, gone = store.forget(self._retention, now, read, limit=_FORGET_AT_ONCE)
        told, at = self._told
        if progress.has_reached(told):
            store.note(WRITTEN, str(at))
            self._told = (ends, now)
        return Kept(rows, floors, len(rows) < AT_ONCE and gone < _FORGET_AT_ONCE)


def _has_reached(progress: Progress, of: Partition, ends: Mapping[Partition, int]) -> bool:
    return progress.has_reached({of: ends.get(of, 0)})
