"""One partition as a worker reads it: its position in the log, and what is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.testing.coordinator import Partition
from streams.worker.fan_out import FanOut
from streams.worker.pipeline import Pipeline

if TYPE_CHECKING:
    from streams.testing.worker import MemoryWorker


class MemorySource:
    """One partition's read position in the log, and how far it was acknowledged."""

    def __init__(self, worker: MemoryWorker, place: Partition) -> None:
        self.place = place
        self.position = worker.cluster.commits.get(place, 0)
        self.watermark: int | None = None
        self.target: Pipeline | FanOut | None = None
        self.fetching = False
        self._worker = worker

    def start(self, target: Pipeline | FanOut, position: int) -> None:
        """Hand over to it from here on; the commit that it kept may be ahead of the group's."""
        self.target = target
        self.position = max(self.position, position)

    def release(self, watermark: int) -> None:
        """Everything below is settled or taken over: commit it soon."""
        if watermark != self.watermark:
            self.watermark = watermark
            self._worker.commit_soon()

    def pump(self) -> bool:
        """Hand over the next batch; False if there is nothing, or the partition wants no more."""
        records = self._worker.cluster.log.topics[self.place]
        if self.target is None or self.position >= len(records) or not self.target.wants_more:
            return False
        size = self._worker.network.batch_size()
        batch = records[self.position : self.position + size]
        self.position = batch[-1].offset + 1
        self.target.deliver(batch)
        return True

    @property
    def is_behind(self) -> bool:
        """Whether there is something to hand over."""
        return self.position < len(self._worker.cluster.log.topics[self.place])
