"""Workers on an in-memory log: assignment, commits, crashes and restarts, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streams.jobs.lifecycle import Listener
from streams.jobs.registry import Registry
from streams.testing.memory import MemoryClock, MemoryLog, MemoryStore
from streams.wire.partition import partition_of
from streams.wire.state import decode_command
from streams.wire.topics import TopicNames
from streams.worker.engine import Engine, EngineOptions
from streams.worker.fan_out import FanOut
from streams.worker.pipeline import Pipeline
from streams.worker.ports import Log, Store

BATCH = 16  # records handed over at a time


class MemorySource:
    """One partition's read position in the log, and the commit that survives a crash."""

    def __init__(self, cluster: MemoryCluster, topic: str, partition: int) -> None:
        self._place = (topic, partition)
        self._cluster = cluster
        self.position = cluster.commits.get(self._place, 0)
        self.target: Pipeline | FanOut | None = None

    def release(self, watermark: int) -> None:
        """Commit."""
        if watermark > self._cluster.commits.get(self._place, 0):
            self._cluster.commits[self._place] = watermark

    def pump(self) -> bool:
        """Hand over the next batch; False if there is nothing, or the partition wants no more."""
        records = self._cluster.log.topics[self._place]
        if self.target is None or not self.target.wants_more or self.position >= len(records):
            return False
        batch = records[self.position : self.position + BATCH]
        self.position = batch[-1].offset + 1
        self.target.deliver(batch)
        return True


class MemoryWorker:
    """One worker of the cluster."""

    def __init__(self, cluster: MemoryCluster, name: str, log: Log | None = None) -> None:
        self.cluster = cluster
        self.name = name
        self.engine = Engine(
            cluster.registry,
            EngineOptions(worker=name, names=cluster.names, partitions=cluster.log.partitions),
            log=log or cluster.log,
            clock=cluster.clock,
            open_store=lambda queue, partition: cluster.store(name, queue, partition),
            listeners=cluster.listeners,
        )
        self.sources: list[MemorySource] = []
        self._commands: dict[tuple[str, int], int] = {}

    async def start(self) -> None:
        """Take every partition."""
        names, cluster = self.cluster.names, self.cluster
        for queue in sorted(cluster.registry.queues()):
            for partition in range(cluster.log.partitions):
                source = MemorySource(cluster, names.queue(queue), partition)
                source.target = await self.engine.open_queue(
                    queue, partition, source, source.position
                )
                self.sources.append(source)
                self._commands[(queue, partition)] = 0
        for event_type in sorted(cluster.registry.event_types()):
            for partition in range(cluster.log.partitions):
                source = MemorySource(cluster, names.event(event_type), partition)
                source.target = await self.engine.open_events(event_type, partition, source)
                self.sources.append(source)

    async def pump(self) -> bool:
        """Hand over what can be handed over; False if there was nothing."""
        moved = [source.pump() for source in self.sources]
        for (queue, partition), position in self._commands.items():
            log = self.cluster.log.topics[(self.cluster.names.commands(queue), partition)]
            for record in log[position:]:
                command = decode_command(record.key or b"", record.value or b"")
                await self.engine.command(queue, partition, command, record.offset)
                moved.append(True)
            self._commands[(queue, partition)] = len(log)
        return any(moved)

    async def kill(self) -> None:
        """End it as a crash does: nothing more is settled or committed."""
        await self.engine.stop()


class MemoryCluster:
    """A log, a clock, commits and disks, and the workers that come and go on them."""

    def __init__(
        self,
        registry: Registry,
        *,
        partitions: int = 2,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.registry = registry
        self.clock = MemoryClock()
        self.log = MemoryLog(self.clock, partitions)
        self.names = TopicNames("")
        self.listeners = tuple(listeners)
        self.commits: dict[tuple[str, int], int] = {}
        self.workers: list[MemoryWorker] = []
        self._disks: dict[tuple[str, str, int], MemoryStore] = {}

    def store(self, worker: str, queue: str, partition: int) -> Store:
        """The disk of a worker; the same again after a restart."""
        return self._disks.setdefault((worker, queue, partition), MemoryStore())

    def partition_of(self, key: bytes) -> int:
        """The partition of a record key."""
        return partition_of(key, self.log.partitions)

    def latest(self, topic: str) -> dict[bytes, bytes]:
        """A compacted topic as it stands: the last value of each key, tombstones left out."""
        values = {r.key or b"": r.value for r in self.log.records(topic)}
        return {key: value for key, value in values.items() if value is not None}

    def lose_disks(self) -> None:
        """Forget what workers kept on disk."""
        self._disks.clear()

    async def start_worker(self, name: str = "w1", log: Log | None = None) -> MemoryWorker:
        """Start a worker that takes every partition."""
        worker = MemoryWorker(self, name, log)
        self.workers.append(worker)
        await worker.start()
        return worker

    async def kill(self, worker: MemoryWorker) -> None:
        """Crash a worker."""
        self.workers.remove(worker)
        await worker.kill()

    async def settle(self, crashed: Callable[[], bool] = lambda: False) -> None:
        """Run until nothing moves at this time; returns early once `crashed` says so."""
        still = 0
        while still < 3:
            if crashed():
                return
            moved = [await worker.pump() for worker in self.workers]
            await asyncio.sleep(0)
            quiet = all(worker.engine.quiet for worker in self.workers)
            still = still + 1 if quiet and not any(moved) else 0

    async def advance_to(self, when: int, crashed: Callable[[], bool] = lambda: False) -> None:
        """Move time forward alarm by alarm, and let each have its effect."""
        await self.settle(crashed)
        while not crashed() and (due := self.clock.next_alarm()) is not None and due <= when:
            self.clock.set(due)
            await self.settle(crashed)
        if not crashed():
            self.clock.set(when)
            await self.settle(crashed)
