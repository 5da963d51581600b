"""The Faust app: agents that hand batches to the engine, and what assignment means to it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from streams.durations import to_ms
from streams.errors import ResourceFailed, SettingsError
from streams.garbage import tune_garbage_collection
from streams.jobs.lifecycle import Listener
from streams.jobs.listening import ListenerDefinition
from streams.jobs.registry import Registry
from streams.kafka import faust_command as faust_command  # takes over Faust's command `worker`
from streams.kafka.assignment import Assignment
from streams.kafka.clock import WallClock
from streams.kafka.commands import CommandReader
from streams.kafka.disk import StateFolder, claim_folder
from streams.kafka.lease import Lease
from streams.kafka.log import KafkaLog, to_record
from streams.kafka.reading import Batch
from streams.kafka.readings import Readings
from streams.kafka.signals import JobsWorker, end_late, end_now
from streams.kafka.standby import Standbys
from streams.kafka.startup import FAILED, MISCONFIGURED, prepare_topics
from streams.kafka.store import RocksStore
from streams.kafka.tables import NoTables
from streams.kafka.transport import BatchConsumer, BatchTransport
from streams.kafka.urgency import Urgency
from streams.observe.health import Health, Thresholds, health
from streams.observe.logs import configure
from streams.observe.metrics import WorkerMetrics
from streams.observe.web import WorkerWeb
from streams.settings import Settings
from streams.wire.commands import Command
from streams.wire.objects import open_objects
from streams.wire.topics import TopicNames, specs
from streams.worker.control import Control
from streams.worker.engine import Engine, EngineOptions
from streams.worker.pipeline import Pipeline
from streams.worker.presence import Roster
from streams.worker.processes import PoolOptions, ProcessPool, cores, modules_of
from streams.worker.recovery import Recovery
from streams.worker.slots import WEIGHT
from streams.worker.trimming import Kept
from streams.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

COMMIT_INTERVAL = 0.5  # seconds
# A partition has up to one fetch more in memory than its pipeline wants; records are unpacked when
# they are asked for. Twice as much is no faster in the long run, and is 90 MB of a full worker.
FETCH_BYTES = 384 * 1024
REQUEST_TIMEOUT = 90.0  # seconds; Faust's own
COMMIT_WITHIN = 2.0  # seconds, at the end


def _processes(
    settings: Settings,
    registry: Registry,
    log: KafkaLog,
    on_failure: Callable[[BaseException], None],
) -> ProcessPool | None:
    """The pool for handlers that run in processes; None if there are none."""
    modules = modules_of(registry.definitions())
    if not modules:
        return None
    options = PoolOptions(
        modules=modules,
        count=settings.processes or cores(),
        jobs_max=settings.process_jobs,
        memory_max=settings.process_memory_mb * 1024 * 1024,
        prefix=settings.prefix,
        log_format=settings.log_format,
        log_level=settings.log_level.upper(),
    )
    return ProcessPool(options, log, on_failure)


class WithoutWeb(faust.App.BootStrategy):
    """Faust's own web server never starts, whatever its command line says: it is open to all."""

    def _should_enable_web(self) -> bool:
        return False


class JobsApp(faust.App):
    """A worker: Faust assigns partitions and reads them, the engine does the rest."""

    BootStrategy = WithoutWeb

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        listeners: Sequence[Listener] = (),
        heard_by: Sequence[ListenerDefinition] = (),
    ) -> None:
        serves = settings.serves or settings.queues
        registry = registry.only(serves)
        self.streams_settings = settings
        self.registry = registry
        self.names = TopicNames(settings.prefix)
        self.worker_name = f"{socket.gethostname()}-{os.getpid()}"
        data_dir = Path(settings.data_dir)
        super().__init__(
            f"{settings.prefix}{settings.group}",
            broker=f"kafka://{settings.bootstrap_servers}",
            store="memory://",
            datadir=data_dir / "faust",
            web_enabled=False,
            web_tables_enabled=False,
            web_router_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=settings.instance or None,
            Worker=JobsWorker,
            TableManager=NoTables,
            broker_commit_interval=COMMIT_INTERVAL,
            broker_session_timeout=to_ms(settings.session_timeout) / 1000,
            # A worker whose requests may take less than its session does not start.
            broker_request_timeout=max(REQUEST_TIMEOUT, to_ms(settings.session_timeout) / 1000),
            broker_heartbeat_interval=to_ms(settings.session_timeout) / 4000,
            consumer_max_fetch_size=FETCH_BYTES,
            stream_buffer_maxsize=4096,
            stream_wait_empty=False,
            worker_redirect_stdouts=False,  # our logs go to standard error themselves
            autodiscover=False,
        )
        self._lease = Lease(to_ms(settings.session_timeout) / 1000)
        self._log = KafkaLog(
            settings.bootstrap_servers,
            self.worker_name,
            permit=self._lease,
            followed=(self.names.control, self.names.limits),
        )
        self._clock = WallClock()
        self.metrics = WorkerMetrics(
            names=[definition.name for definition in registry.definitions()],
            read=lambda: self._readings.queues(),
            read_worker=lambda: self._readings.worker(),
            read_sums=lambda: self._readings.sums(),
        )
        for definition in registry.definitions():
            self.metrics.expect(definition.queue, definition.name)
        self._web = WorkerWeb(
            self.metrics, self.health, host=settings.web_host, port=settings.web_port
        )
        self.engine = Engine(
            registry,
            EngineOptions(
                worker=self.worker_name,
                names=self.names,
                group=settings.group,
                queues=settings.queues,
                partitions=settings.partitions,
                concurrency=settings.concurrency,
                threads=settings.threads,
                abandoned_threads=settings.abandoned_threads,
                weights=settings.weights_of,
                grace_ms=to_ms(settings.grace),
                unique_for_ms=to_ms(settings.unique_for),
                kept=Kept(
                    queue_ms=to_ms(settings.trim_after), ledger_ms=to_ms(settings.ledger_kept)
                ),
                result_max=settings.result_max_mb * 1024 * 1024,
            ),
            log=self._log,
            clock=self._clock,
            open_store=self._open_store,
            listeners=(*listeners, self.metrics.listen),
            count_ticks=self.metrics.count_ticks,
            heard_by=heard_by,
            on_failure=self._end_with,
            take_copy=self._take_copy,
            may_start=lambda: self._lease.is_held,
            copied=lambda: [] if self._standbys is None else self._standbys.copied(),
            objects=open_objects(settings.objects_at),
            processes=_processes(settings, registry, self._log, self._end_with),
        )
        self._readings = Readings(
            self.engine,
            settings.queues,
            self._clock,
            end=self._end,
            committed=lambda tp: self.consumer.committed(tp),
        )
        self._watchdog = Watchdog(
            registry.definitions(), self.metrics.count_blocked, self.metrics.observe_lag
        )
        self._standbys: Standbys | None = None
        self._following: asyncio.Task[None] | None = None
        self._commands = CommandReader(
            settings.bootstrap_servers, self.worker_name, self._on_commands, {}, self._end_with
        )
        self._queues = {self.names.queue(queue): queue for queue in serves}
        self._events = {self.names.event(kind): kind for kind in registry.event_types()}
        self._ours = Assignment(
            self.engine,
            self._commands,
            self.names,
            queues=self._queues,
            events=self._events,
            on_failure=self._end_with,
        )
        self._folder: StateFolder | None = None
        self._add_agents()

    # -- Faust's seams -------------------------------------------------------------------------

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _new_consumer(self) -> BatchConsumer:
        consumer: BatchConsumer = super()._new_consumer()
        consumer.readers = lambda: self._ours.targets
        consumer.watermark = self._ours.watermark
        consumer.watched = self._ours.partitions
        weights = self.streams_settings.weights_of
        consumer.urgency = Urgency(
            {topic: weights.get(queue, WEIGHT) for topic, queue in self._queues.items()}
        )
        consumer.lease = self._lease
        return consumer

    def _add_agents(self) -> None:
        # Each queue has its own: what is urgent does not wait until others are handed over.
        agents: list[tuple[tuple[str, ...], str]] = [
            ((topic,), f"queue.{queue}") for topic, queue in self._queues.items()
        ]
        if self._events:
            agents.append((tuple(self._events), "fan_out"))
        for topics, name in agents:
            channel = self.topic(
                *topics,
                key_type=bytes,
                value_type=bytes,
                key_serializer="raw",
                value_serializer="raw",
            )
            self.agent(channel, name=f"streams.{name}")(self._hand_over)

    async def _hand_over(self, stream: Any) -> None:
        """The body of all agents: an event is what was fetched of a topic, by partition.

        A long batch is handed over in parts, and what else there is to do goes on in between.
        """
        async for event in stream.noack().events():
            message = event.message
            # The engine's watermark acknowledges; Faust must not wait for an ack of its own.
            message.acked = True
            self.consumer._unacked_messages.discard(message)
            batches: dict[TP, Batch] = dict(message.value)
            message.value.clear()  # Faust keeps its last event until another one comes
            try:
                while batches:
                    tp = next(iter(batches))
                    for part in self.consumer.pieces(batches[tp]):
                        self._deliver(tp, part)
                        await asyncio.sleep(0)
                    del batches[tp]
                    self.consumer.handed_over(tp)
            except Exception as error:  # Faust would acknowledge the event and go on
                logger.exception("handing over %s/%d failed", tp.topic, tp.partition)
                self._end_with(error)
            finally:
                for tp in batches:
                    self.consumer.read_again(tp)
                    self.consumer.handed_over(tp)

    def _deliver(self, tp: TP, batch: Batch) -> None:
        target = self._ours.targets.get(tp)
        if target is None or not batch.follows(target):
            self.consumer.read_again(tp)
            return
        end = self._end(tp)
        if isinstance(target, Pipeline) and end is not None and end < target.watermark.value:
            # Its offsets begin again: what is new would be taken for what was read long ago.
            self._end_with(RuntimeError(f"{tp.topic}/{tp.partition} was made anew or truncated"))
            return
        target.deliver([to_record(record) for record in batch.records])

    # -- start and stop ------------------------------------------------------------------------

    async def on_first_start(self) -> None:
        """Check the topics and connect, before Faust subscribes to anything."""
        os.makedirs(self.streams_settings.data_dir, exist_ok=True)
        # Faust has put its own handlers in place by now.
        configure(self.streams_settings.log_format, self.streams_settings.log_level.upper())
        await super().on_first_start()
        settings = self.streams_settings
        await prepare_topics(
            settings.bootstrap_servers,
            specs(
                self.names,
                settings.queues,
                self.registry.event_types(),
                settings.partitions,
                settings.replication,
            ),
        )
        session = to_ms(settings.session_timeout) / 1000
        root = Path(settings.data_dir) / "state" / (settings.prefix or "default") / settings.group
        try:
            self._folder = await claim_folder(root, settings.instance, session)
            await self._claim_queues()
        except SettingsError as error:  # Faust would tell it as a crash
            logger.critical("%s", error)
            raise SystemExit(MISCONFIGURED) from None
        await self._log.start()
        await self._commands.start()
        try:
            await self.engine.open()
        except ResourceFailed as error:
            logger.critical("%s", error, exc_info=error.__cause__)
            raise SystemExit(FAILED) from None
        tune_garbage_collection()
        self.engine.start()
        self._watchdog.start()
        loop = asyncio.get_running_loop()

        def go_on() -> None:
            loop.call_soon_threadsafe(self.engine.executor.go_on)

        def be_replaced() -> None:
            loop.call_soon_threadsafe(self._be_replaced)

        self._lease.on_regained = go_on
        self._lease.on_replaced = be_replaced
        if settings.standbys:
            self._standbys = self._new_standbys()
            self._following = asyncio.create_task(self._follow(self._standbys), name="standbys")
        try:
            await self._web.start()
        except SettingsError as error:
            logger.critical("%s", error)
            raise SystemExit(MISCONFIGURED) from None

    async def on_stop(self) -> None:
        """Drain within the grace period, commit, and hand back the rest."""
        end_late(to_ms(self.streams_settings.grace) / 1000)  # also after a crash
        if not await self.engine.shut_down(self._lease.remaining):
            await self._log.throw_away()
        try:
            await asyncio.wait_for(self.consumer.commit_watermarks(), COMMIT_WITHIN)
        except Exception as error:  # what is not committed is delivered again, and is known
            logger.warning("the last commit failed: %s", error)
        await super().on_stop()
        self._ours.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.engine.stop()
        self._watchdog.stop()
        await self._web.stop()
        await self._commands.stop()
        await self._log.stop()
        if self._folder is not None:
            self._folder.release()

    async def _claim_queues(self) -> None:
        """Make the queues that this worker serves its group's.

        Raises:
            SettingsError: one of them is another group's.
        """
        log = KafkaLog(self.streams_settings.bootstrap_servers, self.worker_name)
        await log.start()
        try:
            control = Control(log, self.names.control)
            await control.claim(self._queues.values(), self.streams_settings.group)
        finally:
            await log.stop()

    def _be_replaced(self) -> None:
        """End at once: all that this worker runs is run by the one that has its name now."""
        logger.critical(
            "another worker has joined with STREAMS_INSTANCE=%s, which this one had: give each "
            "worker a name of its own (or an administrator removed it from its group)",
            self.streams_settings.instance,
        )
        end_now(MISCONFIGURED)

    # -- copies of others' state ---------------------------------------------------------------

    def _new_standbys(self) -> Standbys:
        settings = self.streams_settings
        return Standbys(
            settings.bootstrap_servers,
            self.worker_name,
            self.names.workers,
            Roster(settings.group),
            log=self._log,
            clock=self._clock,
            open_recovery=self.engine.open_recovery,
            owned=self._ours.places,
            places=[
                (queue, partition)
                for queue in self._queues.values()
                for partition in range(settings.partitions)
            ],
        )

    async def _follow(self, standbys: Standbys) -> None:
        try:
            await standbys.run()
        except Exception as error:
            logger.exception("following others' state failed")
            self._end_with(error)

    async def _take_copy(self, queue: str, partition: int) -> Recovery | None:
        return None if self._standbys is None else await self._standbys.take(queue, partition)

    # -- assignment ----------------------------------------------------------------------------

    def _on_rebalance_when_stopped(self) -> None:
        """Nothing; Faust would close the consumer, and running jobs have their grace period still.

        Without heartbeats the lease would end with it, and nothing of them could be settled.
        """

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Settle and commit what has ended before this worker rejoins; attempts go on.

        The drain ends with the lease: what is not settled by then may not be written any more.
        """
        try:
            is_drained = await self.engine.drain(self._lease.remaining)
            if await self._ours.abandon_openings() or not is_drained:
                # What is on its way must not arrive after the next owner has recovered.
                await self._log.renew()
            if self._lease.is_held:
                await self.consumer.commit_watermarks()
        except Exception as error:
            logger.exception("draining before a rebalance failed")
            self._end_with(error)
        try:
            await super()._on_partitions_revoked(revoked)
        except Exception as error:  # aiokafka would log it, and go on
            logger.exception("giving up partitions failed")
            self._end_with(error)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        try:
            await self._take_assignment(assigned, generation_id)
            await super()._on_partitions_assigned(assigned, generation_id)
        except Exception as error:  # aiokafka would log it, and go on with half an assignment
            logger.exception("taking an assignment failed")
            self._end_with(error)

    async def _take_assignment(self, assigned: set[TP], generation: int) -> None:
        """Close what went away, go on with what came back, open what is new."""
        if not await self._ours.keep(assigned, generation):
            await self._log.renew()  # what its producer still buffers is of the past, too
        self.engine.resume()
        committed: dict[TP, int] = {}
        if assigned:
            answer = await self.wait(self.consumer.seek_to_committed())
            if answer.stopped:
                return  # we are stopping: what is new waits for the next rebalance, when we leave
            committed = answer.result
        self._ours.open(assigned, committed)

    def _end_with(self, error: BaseException) -> None:
        """A partition failed: end the worker, and let its successor start from durable state."""
        self._failing = asyncio.create_task(self.crash(error))

    # -- what is told of it ---

    def health(self) -> Health:
        """Ready once every assigned partition is recovered."""
        ready = self._ours.is_open
        settings = self.streams_settings
        thresholds = Thresholds(waiting=settings.health_waiting, failed=settings.health_failed)
        problems = self._readings.worker().problems
        return health(self._readings.queues(), thresholds, ready=ready, problems=problems)

    def _end(self, tp: TP) -> int | None:
        try:
            end: int | None = self.consumer.highwater(tp)
            return end
        except Exception:  # between assignments the consumer knows no partition
            return None

    # -- state and commands --------------------------------------------------------------------

    def _open_store(self, queue: str, partition: int) -> RocksStore:
        assert self._folder is not None
        return RocksStore(self._folder.path / queue / str(partition))

    async def _on_commands(
        self, topic: str, partition: int, commands: Sequence[tuple[Command, int]]
    ) -> None:
        for queue in self._queues.values():
            if self.names.commands(queue) == topic:
                await self.engine.command(queue, partition, commands)
