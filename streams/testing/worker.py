"""One worker of an in-memory cluster: what Faust and our adapter are in production."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from streams.errors import LeaseLost
from streams.testing.coordinator import Partition
from streams.testing.inline import InlineProcesses
from streams.testing.membership import Membership
from streams.testing.network import Network, WorkerLog
from streams.testing.source import MemorySource
from streams.wire.commands import decode_command
from streams.wire.envelope import Record
from streams.worker.engine import Engine, EngineOptions
from streams.worker.fan_out import FanOut
from streams.worker.pipeline import Pipeline
from streams.worker.ports import Clock, Log

if TYPE_CHECKING:
    from streams.testing.cluster import MemoryCluster

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


class MemoryWorker:
    """A member of the group, with an engine that does what the assignment asks for."""

    def __init__(
        self,
        cluster: MemoryCluster,
        name: str,
        *,
        network: Network,
        clock: Clock | None = None,
        log: Log | None = None,
        spawn: Spawn | None = None,
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.network = network
        self.engine = Engine(
            cluster.registry,
            EngineOptions(
                worker=name,
                names=cluster.names,
                partitions=cluster.log.partitions,
                concurrency=cluster.concurrency,
                gather_ms=cluster.gather_ms,
                near_ms=cluster.near_ms,
            ),
            log=log or WorkerLog(cluster.log, network, self._check_lease),
            clock=clock or cluster.clock,
            open_store=lambda queue, partition: cluster.store(name, queue, partition),
            listeners=cluster.listeners,
            on_failure=lambda error: self.on_failure(error),
            may_start=lambda: self.membership.lease.is_held,
            objects=cluster.objects,
            processes=InlineProcesses(clock or cluster.clock),
            replaced=cluster.replaced,
            heard_by=cluster.heard_by,
        )
        self.sources: list[MemorySource] = []
        self.membership = Membership(self)
        self.on_failure: Callable[[BaseException], None] = lambda error: None
        self.on_open: Callable[[Partition], None] = lambda place: None
        self.on_close: Callable[[Partition], None] = lambda place: None
        self.on_drain: Callable[[], None] = lambda: None
        self.on_expelled: Callable[[], None] = lambda: None  # its session is over, it lives on
        self.may_commit: Callable[[], bool] = lambda: True
        self.waits_in: set[str] = set()  # what is awaited, for those who count crashes
        self._spawn = spawn or (lambda work, name: asyncio.create_task(work, name=name))
        self._generation = 0
        self._targets: dict[Partition, Pipeline | FanOut] = {}
        self._opening: dict[Partition, asyncio.Task[None]] = {}
        self._commands: dict[tuple[str, int], int] = {}
        self._assigned = asyncio.Event()
        self._commands_wake = asyncio.Event()
        self._committing = False
        self._tasks: list[asyncio.Task[Any]] = []

    # -- its life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Become a member."""
        self._tasks = [
            self._spawn(self.membership.run(), "membership"),
            self._spawn(self._read_commands(), "commands"),
            self._spawn(self.engine.schedules.run(), "schedules"),
        ]

    async def ready(self) -> None:
        """Wait until the assignment is there and open."""
        await self._assigned.wait()
        while self._opening:
            await asyncio.gather(*self._opening.values())

    async def leave(self) -> None:
        """Drain, commit, leave the group and stop."""
        self._tasks[0].cancel()
        if not await self.engine.shut_down(self.membership.lease.remaining):
            self.membership.lease.end()  # it must not go on writing behind the next owner
        await self.network.flush()
        self._commit()
        await self.network.round_trip()
        self.membership.end()
        await self._stop()

    async def kill(self) -> None:
        """End it as a crash does: nothing more is settled or committed."""
        self.membership.end()
        await self._stop()

    async def _stop(self) -> None:
        for task in (*self._tasks, *self._opening.values()):
            task.cancel()
        await self.engine.stop()

    # -- the group -----------------------------------------------------------------------------

    async def assign(self, generation: int, partitions: frozenset[Partition]) -> None:
        """Close what went away, go on with what came back, open what is new."""
        anew = self._must_reopen(generation)
        self._generation = generation
        held = {source.place for source in self.sources}
        for place in sorted(held if anew else held - partitions):
            await self._close(place)
        for source in self.sources:
            # As the consumer does: reading goes on from what is committed.
            source.position = self.cluster.commits.get(source.place, 0)
            self.fetch_soon(source)
        self.engine.resume()
        self.commit_soon()  # as the consumer does every now and then: one may have been refused
        held = {source.place for source in self.sources}
        for place in sorted(partitions - held):
            source = MemorySource(self, place)
            self.sources.append(source)
            self._opening[place] = self._spawn(self._open(source), f"open-{place[0]}")
        self._assigned.set()

    def _must_reopen(self, generation: int) -> bool:
        """After a gap others may have had our partitions: what is in memory is of the past."""
        return generation != self._generation + 1

    async def revoke(self) -> None:
        """What has ended is settled and committed before this worker rejoins."""
        for place in list(self._opening):  # half open, it would start while others recover it
            await self._close(place)
        self.waits_in.add("drain")
        self.on_drain()
        await self.engine.drain(self.membership.lease.remaining)
        # What was sent within the lease may be on its way: who owns this next must see it.
        await self.network.flush()
        self.waits_in.discard("drain")
        if self.membership.lease.is_held:
            self._commit()

    async def _open(self, source: MemorySource) -> None:
        try:
            await self._open_target(source)
        except Exception as error:
            self.on_failure(error)
        self._opening.pop(source.place, None)
        self.fetch_soon(source)

    async def _open_target(self, source: MemorySource) -> None:
        topic, partition = source.place
        names, engine = self.cluster.names, self.engine
        self.on_open(source.place)
        for queue in self.cluster.registry.queues():
            if names.queue(queue) == topic:
                pipeline = await engine.open_queue(queue, partition, source, source.position)
                commands = names.commands(queue)
                self._commands[(queue, partition)] = pipeline.tables.applied(commands)
                self._commands_wake.set()
                source.start(pipeline, pipeline.watermark.position)
        for event_type in self.cluster.registry.event_types():
            if names.event(event_type) == topic:
                fan_out = await engine.open_events(event_type, partition, source)
                source.start(fan_out, fan_out.watermark)

    async def _close(self, place: Partition) -> None:
        topic, partition = place
        names = self.cluster.names
        self.on_close(place)
        self.sources = [source for source in self.sources if source.place != place]
        opening = self._opening.pop(place, None)
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        for queue in self.cluster.registry.queues():
            if names.queue(queue) == topic:
                self._commands.pop((queue, partition), None)
                await self.engine.close_queue(queue, partition)
        for event_type in self.cluster.registry.event_types():
            if names.event(event_type) == topic:
                await self.engine.close_events(event_type, partition)

    def _check_lease(self) -> None:
        if not self.membership.lease.is_held:
            raise LeaseLost(f"{self.name} was silent for too long to write")

    # -- commits -------------------------------------------------------------------------------

    def commit_soon(self) -> None:
        """Commit what is acknowledged at the next opportunity."""
        delay = self.network.commit_delay()
        if not delay:
            self._commit()
        elif not self._committing:
            self._committing = True
            self.waits_in.add("commit")
            self.cluster.at(self, self.cluster.clock.now() + delay, self._commit)

    def _commit(self) -> None:
        self._committing = False
        self.waits_in.discard("commit")
        coordinator = self.cluster.coordinator
        for source in self.sources:
            mark = source.watermark
            if mark is not None and mark > self.cluster.commits.get(source.place, 0):
                if not self.may_commit():
                    return
                coordinator.commit(self.membership.member, self._generation, source.place, mark)

    # -- reading -------------------------------------------------------------------------------

    def fetch_soon(self, source: MemorySource) -> None:
        """Hand over what is there, once it has travelled."""
        if source.fetching or not source.is_behind:
            return
        delay = self.network.fetch_delay()
        if delay:
            source.fetching = True
            when = self.cluster.clock.now() + delay
            self.cluster.at(self, when, lambda: self._fetch(source))

    def _fetch(self, source: MemorySource) -> None:
        source.fetching = False
        if source in self.sources:
            source.pump()
            self.fetch_soon(source)

    def written(self, record: Record) -> None:
        """Something was written to a topic: if it is of ours, it comes."""
        for source in self.sources:
            if source.place == (record.topic, record.partition):
                self.fetch_soon(source)

    def commands_written(self) -> None:
        """Commands have come."""
        self._commands_wake.set()

    def pump(self) -> bool:
        """Hand over what can be handed over, at once; False if there was nothing."""
        moved = [source.pump() for source in self.sources]
        if self._has_commands():
            self._commands_wake.set()
            moved.append(True)
        return any(moved)

    def _has_commands(self) -> bool:
        log, names = self.cluster.log, self.cluster.names
        return any(
            position < len(log.topics[(names.commands(queue), partition)])
            for (queue, partition), position in self._commands.items()
        )

    async def _read_commands(self) -> None:
        names = self.cluster.names
        while True:
            await self._commands_wake.wait()
            delay = self.network.command_delay()
            if delay:
                await asyncio.sleep(delay / 1000)
            self._commands_wake.clear()
            for queue, partition in list(self._commands):
                log = self.cluster.log.topics[(names.commands(queue), partition)]
                while (at := self._commands.get((queue, partition), len(log))) < len(log):
                    self._commands[(queue, partition)] = at + 1
                    record = log[at]
                    command = decode_command(record.key or b"", record.value or b"")
                    await self.engine.command(queue, partition, [(command, record.offset)])

    @property
    def is_opening(self) -> bool:
        """Whether a partition is being recovered."""
        return bool(self._opening)

    @property
    def quiet(self) -> bool:
        """Nothing in hand, nothing to decide, nothing to read that is wanted."""
        return (
            self._assigned.is_set()
            and not self._opening
            and self.membership.is_settled
            and not self._has_commands()
            and self.engine.quiet
        )
