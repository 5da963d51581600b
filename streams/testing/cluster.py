"""Workers on an in-memory log: a group, commits, disks, crashes and restarts, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streams.jobs.lifecycle import Listener
from streams.jobs.listening import ListenerDefinition
from streams.jobs.registry import Registry
from streams.jobs.resource import Factory
from streams.testing.coordinator import Coordinator, Partition
from streams.testing.memory import MemoryAlarm, MemoryClock, MemoryLog, MemoryObjects, MemoryStore
from streams.testing.network import NoDelay
from streams.testing.patience import Patience
from streams.testing.worker import MemoryWorker
from streams.wire.partition import partition_of
from streams.wire.topics import TopicNames
from streams.worker.limit import NEAR_MS
from streams.worker.ports import Log, Store


class MemoryCluster:
    """A log, a clock, a group, commits and disks, and the workers that come and go on them."""

    def __init__(
        self,
        registry: Registry,
        *,
        partitions: int = 2,
        start: int | None = None,
        listeners: Sequence[Listener] = (),
        replaced: Mapping[Factory, Any] | None = None,
        heard_by: Sequence[ListenerDefinition] = (),
    ) -> None:
        self.registry = registry
        self.clock = MemoryClock() if start is None else MemoryClock(start)  # ms since the epoch
        self.log = MemoryLog(self.clock, partitions)
        self.names = TopicNames("")
        self.listeners = tuple(listeners)
        self.replaced = replaced  # resources
        self.objects = MemoryObjects(self.clock)
        self.heard_by = tuple(heard_by)
        self.concurrency = 100  # of each worker
        self.near_ms = NEAR_MS
        self.gather_ms = 0  # its time stands still until it is told to pass
        topics = [self.names.queue(queue) for queue in registry.queues()]
        topics += [self.names.event(kind) for kind in sorted(registry.event_types())]
        places = [(topic, partition) for partition in range(partitions) for topic in topics]
        self.coordinator = Coordinator(self.clock, places)
        self.workers: list[MemoryWorker] = []
        self._disks: dict[tuple[str, str, int], MemoryStore] = {}

    @property
    def commits(self) -> dict[Partition, int]:
        """What is committed."""
        return self.coordinator.commits

    def store(self, worker: str, queue: str, partition: int) -> Store:
        """The disk of a worker; the same again after a restart."""
        disk = self._disks.setdefault((worker, queue, partition), MemoryStore())
        disk.crash()  # if something is at risk still, nobody had the time to keep it
        return disk

    def partition_of(self, key: bytes) -> int:
        """The partition of a record key."""
        return partition_of(key, self.log.partitions)

    def latest(self, topic: str) -> dict[bytes, bytes]:
        """A compacted topic as it stands: the last value of each key, tombstones left out."""
        values = {r.key or b"": r.value for r in self.log.records(topic)}
        return {key: value for key, value in values.items() if value is not None}

    def lose_disks(self, worker: str | None = None) -> None:
        """Forget what a worker kept on disk, or all of them."""
        for place in [p for p in self._disks if worker in (None, p[0])]:
            del self._disks[place]

    def at(self, worker: MemoryWorker, when: int, callback: Callable[[], None]) -> MemoryAlarm:
        """Call something of a worker at a time of the world."""
        return self.clock.call_at(when, callback)

    async def start_worker(self, name: str = "w1", log: Log | None = None) -> MemoryWorker:
        """Start a worker, and wait until it has opened what it was assigned."""
        worker = MemoryWorker(self, name, network=NoDelay(self.log), log=log)
        await worker.engine.open()
        self.workers.append(worker)
        worker.start()
        starting = asyncio.ensure_future(worker.ready())
        patience = Patience()
        while not starting.done():
            self.clock.set(self.clock.now())
            await patience.rest()
        await starting
        return worker

    async def kill(self, worker: MemoryWorker) -> None:
        """Crash a worker."""
        self.workers.remove(worker)
        await worker.kill()

    async def settle(self) -> None:
        """Run until nothing moves at this time."""
        still = 0
        patience = Patience()
        while still < 3:
            self.clock.set(self.clock.now())
            moved = [worker.pump() for worker in self.workers]
            if any(moved):
                patience.renew()
            await patience.rest()
            quiet = all(worker.quiet for worker in self.workers)
            still = still + 1 if quiet and not any(moved) else 0

    async def advance_to(self, when: int) -> None:
        """Move time forward alarm by alarm, and let each have its effect."""
        await self.settle()
        while await self.advance_once(when):
            pass

    async def advance_once(self, until: int) -> bool:
        """Move time to the next alarm, and let it have its effect; False if `until` comes first."""
        due = self.clock.next_alarm()
        is_alarm = due is not None and due <= until
        self.clock.set(due if due is not None and is_alarm else until)
        await self.settle()
        return is_alarm
