"""The partitions of one worker: opened when assigned, drained when revoked, stopped at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.jobs.lifecycle import LifecycleEvent, Listener
from streams.jobs.listening import ListenerDefinition
from streams.jobs.registry import Registry
from streams.jobs.resource import Factory
from streams.version import VERSION
from streams.wire.commands import Command
from streams.wire.objects import Objects
from streams.wire.schedules import Ticked
from streams.wire.topics import TopicNames
from streams.worker.children import ChildSender
from streams.worker.control import Control
from streams.worker.executor import LoopExecutor
from streams.worker.fan_out import FanOut
from streams.worker.foreseen import foresee
from streams.worker.limit import NEAR_MS
from streams.worker.limit_asks import LimitAsks
from streams.worker.limits import LEASE_MS
from streams.worker.listeners import Listeners
from streams.worker.pipeline import GATHER_MS, Pipeline
from streams.worker.ports import Clock, Log, Processes, Source, Store
from streams.worker.presence import HANDLERS_TOLD, LIMITS_TOLD, RUNNING_TOLD, Presence
from streams.worker.recovery import Recovery
from streams.worker.resources import Resources
from streams.worker.results import STORED_MAX, Results
from streams.worker.schedules import Schedules
from streams.worker.settlement import Place
from streams.worker.suspects import Suspects, Suspicion
from streams.worker.tables import Tables
from streams.worker.trimming import Kept, Trimmer

logger = logging.getLogger(__name__)

CONTROL_LOOK_MS = 500  # how often the control topic is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What a worker is told; durations in milliseconds."""

    worker: str
    names: TopicNames
    group: str = "workers"
    queues: tuple[str, ...] = ()  # all that there are, whoever serves them
    partitions: int  # of each queue
    concurrency: int = 100
    threads: int = 5
    abandoned_threads: int = 20
    weights: Mapping[str, int] = field(default_factory=dict)  # of queues, for slots
    grace_ms: int = 25_000
    unique_for_ms: int = 86_400_000
    gather_ms: int = GATHER_MS  # see `worker/pipeline.py`
    kept: Kept = field(default_factory=Kept)
    near_ms: int = NEAR_MS  # who waits longer for a limit does so in the open table
    lease_ms: int = LEASE_MS  # of slots of the cluster; longer than a session
    result_max: int = STORED_MAX  # bytes, of results in object storage


async def no_copy(queue: str, partition: int) -> Recovery | None:
    """For engines that keep no standbys."""
    return None


class Engine:
    """All that runs in one worker, on whatever ports it is given."""

    def __init__(
        self,
        registry: Registry,
        options: EngineOptions,
        *,
        log: Log,
        clock: Clock,
        open_store: Callable[[str, int], Store],
        listeners: Sequence[Listener] = (),
        on_failure: Callable[[BaseException], None] = lambda error: None,
        take_copy: Callable[[str, int], Awaitable[Recovery | None]] = no_copy,
        copied: Callable[[], Sequence[tuple[str, int]]] = tuple,
        may_start: Callable[[], bool] = lambda: True,
        processes: Processes | None = None,
        objects: Objects | None = None,
        replaced: Mapping[Factory, Any] | None = None,
        heard_by: Sequence[ListenerDefinition] = (),
        count_ticks: Callable[[str, Ticked], None] = lambda name, since: None,
    ) -> None:
        self.registry = registry
        self.options = options
        self.queues: dict[tuple[str, int], Pipeline] = {}
        self.fan_outs: dict[tuple[str, int], FanOut] = {}
        self._log = log
        self._clock = clock
        self._open_store = open_store
        self._heard_by = Listeners(heard_by)
        self._listeners = (*listeners, *([self._heard_by.listen] if heard_by else []))
        self._take_copy = take_copy
        self._copied = copied
        self._paused: set[tuple[str, str]] = set()  # queues (with ""), and jobs of queues
        self._queues_known = {*options.queues, *registry.queues()}
        self._key_rates = {
            definition.name: rate.per_ms
            for definition in registry.definitions()
            if (rate := definition.rate_limit) is not None and rate.by == "key"
        }
        self._ends = False  # the grace period is over
        self._is_cut_off = False  # and the last drain was: nothing is written any more
        self._on_failure = on_failure  # a partition can't go on: the worker must end
        self.control = Control(log, options.names.control)
        self.trimmer = Trimmer(self.queues, log, clock)
        self._suspects = Suspects()
        self._presence = Presence(options.worker, options.names.workers, log, clock, self._describe)
        self._services: list[asyncio.Task[None]] = []
        self._started = clock.now()
        handlers = sorted(each.name for each in registry.definitions())
        self._handlers = handlers if len(handlers) <= HANDLERS_TOLD else None
        self._resources = Resources(registry.definitions(), replaced)
        self.results = Results(objects, options.result_max)
        self.schedules = Schedules(
            registry,
            options.names,
            log=log,
            clock=clock,
            control=self.control,
            partitions=options.partitions,
            owns=self._owns_schedules,
            count=count_ticks,
        )
        self._schedules_version = 0
        self.asks = LimitAsks(log, options.names.limits, clock, self.control, on_failure)
        self.executor = LoopExecutor(
            clock,
            self._notify,
            concurrency=options.concurrency,
            threads=options.threads,
            abandoned_threads=options.abandoned_threads,
            weights=options.weights,
            send=ChildSender(options.names, log),
            results=self.results,
            opened=self._resources.opened,
            processes=processes,
            may_start=may_start,
            ask_cluster=self.asks.ask,
            near_ms=options.near_ms,
            lease_ms=options.lease_ms,
            on_breaker_closed=self._revive,
        )

    def _revive(self, name: str) -> None:
        for pipeline in self.queues.values():
            pipeline.revive(name)

    async def open(self) -> None:
        """Open what handlers ask for, before anything else.

        Raises:
            ResourceFailed: something of it could not be opened.
        """
        await self._resources.open()
        await self.look_at_control()

    async def look_at_control(self) -> None:
        """Note which queues there are; start nothing of those that somebody has paused."""
        await self.control.refresh()
        self._queues_known |= self.control.queues()
        if self.control.schedules_version != self._schedules_version:
            self._schedules_version = self.control.schedules_version
            self.schedules.look()
        paused = self.control.paused()
        if paused.keys() != self._paused:
            for what in paused.keys() - self._paused:
                logger.info("%s is paused: %s", _told(*what), paused[what].reason or "no reason")
            for what in self._paused - paused.keys():
                logger.info("%s goes on", _told(*what))
            self._paused = set(paused)
            self.executor.pause_queues(
                {queue for queue, job in paused if not job},
                {(queue, job) for queue, job in paused if job},
            )

    @property
    def paused(self) -> frozenset[str]:
        """The queues of which nothing starts, as far as this worker knows."""
        return frozenset(queue for queue, job in self._paused if not job)

    def _owns_schedules(self, queue: str) -> bool:
        """Whoever owns the first partition of a queue enqueues the ticks of its schedules."""
        pipeline = self.queues.get((queue, 0))
        return pipeline is not None and not pipeline.is_draining

    async def _follow_control(self) -> None:
        while True:
            over = asyncio.Event()
            alarm = self._clock.call_at(self._clock.now() + CONTROL_LOOK_MS, over.set)
            try:
                await over.wait()
                await self.look_at_control()
            except OSError as error:
                logger.warning("reading the control topic failed: %s; trying again", error)
            finally:
                alarm.cancel()

    def start(self) -> None:
        """Start what goes on beside the partitions."""
        self.executor.start()
        for name, work in (
            ("trimming", self.trimmer.run(self.options.kept)),
            ("presence", self._presence.run()),
            ("control", self._follow_control()),
            ("schedules", self.schedules.run()),
            ("results", self.results.run(self._clock, self.options.kept.ledger_ms)),
        ):
            self._services.append(asyncio.create_task(self._serve(name, work), name=name))

    async def _serve(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            logger.exception("%s failed", name)
            self._on_failure(error)

    def _describe(self) -> dict[str, Any]:
        """What this worker tells others of itself."""
        partitions: dict[str, list[int]] = {}
        running: list[dict[str, Any]] = []
        in_hand = 0
        for (queue, partition), pipeline in self.queues.items():
            partitions.setdefault(queue, []).append(partition)
            in_hand += len(pipeline.hand)
            if len(running) < RUNNING_TOLD:
                running += pipeline.told_running()
        return {
            "group": self.options.group,
            "version": VERSION,
            "started": self._started,
            "partitions": partitions,
            "standbys": [list(place) for place in self._copied()],
            "handlers": self._handlers,
            "in_hand": in_hand,
            "running": running[:RUNNING_TOLD],
            "limits": self.executor.told_limits(LIMITS_TOLD),
            "calls": self.executor.told_calls(LIMITS_TOLD),
            "full": self.executor.told_full(),
        }

    async def open_queue(
        self, queue: str, partition: int, source: Source, start: int | None
    ) -> Pipeline:
        """Recover a partition's state and start it.

        Reading goes on from `start`, the group's commit, or from the one kept in state, which is
        never behind it, and is there still when the group's has expired.
        """
        recovery = await self._take_copy(queue, partition)
        if recovery is None:
            recovery = self.open_recovery(queue, partition)
            await recovery.begin(self._log, self._clock.now())
        place, tables = recovery.place, recovery.tables
        read = await recovery.finish(self._log, self._clock.now())
        if read:
            logger.info("recovered %s/%d from %d records", place.topic, partition, read)
        kept = tables.committed()
        end = await self._log.end(place.topic, partition)
        if kept > end:
            logger.warning("%s/%d was made anew: reading it from its start", place.topic, partition)
            kept = 0
        commands = place.commands
        foreseen = await foresee(self._log, commands, partition, tables.applied(commands))
        pipeline = Pipeline(
            place,
            registry=self.registry,
            log=self._log,
            source=source,
            tables=tables,
            clock=self._clock,
            executor=self.executor,
            notify=self._notify,
            start=max(start or 0, kept),
            suspicion=Suspicion(
                is_due=tables.owner_at_work() is not None,
                opened_at=self._clock.now(),
                queue_end=end,
                suspects=self._suspects,
            ),
            on_failure=self._on_failure,
            gather_ms=self.options.gather_ms,
        )
        pipeline.foresee(foreseen)
        self.queues[(queue, partition)] = pipeline
        pipeline.start()
        self.schedules.look()
        return pipeline

    def open_recovery(self, queue: str, partition: int) -> Recovery:
        """Open the local state of a partition, to be brought up to its topics."""
        names, options = self.options.names, self.options
        place = Place(
            queue=queue,
            partition=partition,
            topic=names.queue(queue),
            retry=names.retry(queue),
            ledger=names.ledger(queue),
            dead=names.dead,
            commands=names.commands(queue),
            worker=options.worker,
            partitions=options.partitions,
            unique_for_ms=options.unique_for_ms,
            names=names,
            queues=self._queues_known,
        )
        return Recovery(
            Tables(self._open_store(queue, partition), self._key_rates), place, self._notify
        )

    async def open_events(self, event_type: str, partition: int, source: Source) -> FanOut:
        """Start fanning out a partition of an event topic."""
        await self.control.refresh()
        fan_out = FanOut(
            event_type,
            partition,
            group=self.options.group,
            registry=self.registry,
            names=self.options.names,
            log=self._log,
            source=source,
            clock=self._clock,
            control=self.control,
            notify=self._notify,
            on_failure=self._on_failure,
            partitions=self.options.partitions,
        )
        self.fan_outs[(event_type, partition)] = fan_out
        fan_out.start()
        return fan_out

    async def command(
        self, queue: str, partition: int, commands: Sequence[tuple[Command, int]]
    ) -> None:
        """Hand commands, each with its offset, to their partition, if it is ours."""
        pipeline = self.queues.get((queue, partition))
        if pipeline is None:
            return
        end = await self._log.end(self.options.names.queue(queue), partition)
        # One that was opened meanwhile is given them again, behind those that come before.
        if self.queues.get((queue, partition)) is pipeline:
            pipeline.command(commands, end)

    async def close_queue(self, queue: str, partition: int) -> None:
        """Give up a partition: its attempts are interrupted, their outcomes dropped."""
        pipeline = self.queues.pop((queue, partition), None)
        if pipeline is not None:
            await pipeline.stop()

    async def close_events(self, event_type: str, partition: int) -> None:
        """Give up a partition of an event topic."""
        fan_out = self.fan_outs.pop((event_type, partition), None)
        if fan_out is not None:
            await fan_out.stop()

    async def drain(self, within: float | None = None) -> bool:
        """Settle what has ended; attempts go on, their outcomes wait.

        `within` so many seconds: what is not settled by then waits for the partition's fate, and
        the answer is False.
        """
        self.executor.pause()
        drains = [asyncio.ensure_future(pipeline.drain()) for pipeline in self.queues.values()]
        if not drains:
            return True
        in_time, late = await asyncio.wait(drains, timeout=within)
        self._is_cut_off = self._is_cut_off or bool(late and self._ends)
        for drain in late:
            drain.cancel()
        if late:
            logger.warning("%d partitions could not be drained in time", len(late))
            await asyncio.gather(*late, return_exceptions=True)
        return not late and all(drain.result() for drain in in_time)

    def resume(self) -> None:
        """Go on after a drain with the partitions that are ours still.

        Not after the last drain, if it was cut off: what is half written then stays so.
        """
        if self._is_cut_off:
            return
        for pipeline in self.queues.values():
            pipeline.resume(ends=self._ends)
        self.executor.resume()
        self.schedules.look()

    async def shut_down(self, settle_within: float | None = None) -> bool:
        """Let running attempts end within the grace period, settle them, hand back the rest.

        False if not all of it could be settled within so many seconds after the grace period.
        """
        self.executor.close()
        over = asyncio.Event()
        alarm = self._clock.call_at(self._clock.now() + self.options.grace_ms, over.set)
        finished = asyncio.create_task(self.executor.wait_until_idle())
        waiting = asyncio.create_task(over.wait())
        await asyncio.wait({finished, waiting}, return_when=asyncio.FIRST_COMPLETED)
        alarm.cancel()
        finished.cancel()
        waiting.cancel()
        self._ends = True
        is_drained = await self.drain(settle_within)
        await self._presence.withdraw()
        return is_drained

    async def stop(self) -> None:
        """Stop everything at once."""
        for service in self._services:
            service.cancel()
        await asyncio.gather(*self._services, return_exceptions=True)
        for queue, partition in list(self.queues):
            await self.close_queue(queue, partition)
        for event_type, partition in list(self.fan_outs):
            await self.close_events(event_type, partition)
        await self.executor.stop()
        await self.asks.stop()
        await self._heard_by.end()
        await self._resources.close()

    @property
    def quiet(self) -> bool:
        """Nothing in hand, nothing to decide."""
        return (
            all(p.quiet for p in self.queues.values())
            and all(f.quiet for f in self.fan_outs.values())
            and not self.asks.is_asking
            and not self.schedules.is_firing
        )

    def _notify(self, event: LifecycleEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # what a listener raises harms no job
                logger.exception("a listener failed on %s", event.happening)


def _told(queue: str, job: str) -> str:
    return f"{job} of queue {queue}" if job else f"queue {queue}"
