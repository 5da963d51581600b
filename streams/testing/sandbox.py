"""An application under test: the real pipeline over an in-memory log, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import UTC, datetime
from types import ModuleType, TracebackType
from typing import Any, Self

import orjson

from streams.client_handle import FAILED, Handle, JobStatus, failed, status_of
from streams.client_request import new_due
from streams.client_schedule import Scheduled
from streams.client_sender import Sender
from streams.client_story import Story, answers, precedes
from streams.contracts import JobPayload
from streams.durations import Duration, to_ms
from streams.errors import ResultTimeout, StreamsError, TopicMismatch, UndecodableRecord
from streams.jobs.discovery import handlers_among
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import LifecycleEvent
from streams.jobs.listening import listeners_among
from streams.jobs.middleware import Middleware
from streams.jobs.outcome import StoredResult
from streams.jobs.registry import Registry
from streams.jobs.resource import Factory
from streams.jobs.states import State
from streams.testing.cluster import MemoryCluster
from streams.testing.worker import MemoryWorker
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import Envelope, Record, decode, encode
from streams.wire.schedules import ADDED, TICKED, decode_ticked
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger, decode_open
from streams.wire.times import to_epoch_ms
from streams.worker.ports import Append

QUEUES = ("critical", "default", "bulk")


class Sandbox(Sender):
    """Runs handlers as production does, without Kafka and without waiting.

    It has the calls of `JobClient` that send; each returns when nothing moves any more. Time is
    virtual: it starts at `start`, and passes in `advance`, and while the result of a handle is
    waited for. What a handler awaits of the real world takes its real time.

    Hand it modules with handlers and listeners, or these themselves. `resources` are values that
    handlers are given in place of what a factory would open, as in
    `Sandbox(agents, resources={open_database: fake})`; `middleware` goes around each handler.
    """

    def __init__(
        self,
        *handlers: Any,
        queues: tuple[str, ...] = QUEUES,
        partitions: int = 2,
        start: datetime | None = None,
        resources: Mapping[Factory, Any] | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        values = _values(handlers)
        registry = Registry.build(handlers_among(values), queues, middleware=middleware)
        self.events: list[LifecycleEvent] = []
        self.cluster = MemoryCluster(
            registry,
            partitions=partitions,
            start=None if start is None else _moment(start),
            listeners=(self.events.append,),
            replaced=resources,
            heard_by=listeners_among(values),
        )
        super().__init__(source="sandbox", topics=self.cluster.names)
        self._worker: MemoryWorker | None = None
        self._passing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._worker = await self.cluster.start_worker()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._worker is not None:
            await self.cluster.kill(self._worker)

    @property
    def now(self) -> datetime:
        """The virtual time, in UTC."""
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC)

    async def advance(self, duration: Duration) -> None:
        """Let virtual time pass, and let everything that comes due have its effect."""
        until = self.now_ms() + to_ms(duration)
        async with self._passing:
            await self.cluster.advance_to(until)

    async def cancel(self, job: Handle | JobKey, reason: str = "cancelled") -> None:
        """Cancel a job, which may be one that a handler has enqueued."""
        await self._command(Command(kind="cancel", job=_key(job), reason=reason), _queue(job))

    async def reschedule(
        self,
        job: Handle | JobKey,
        *,
        delay: Duration | None = None,
        run_at: datetime | None = None,
    ) -> None:
        """Let a job that waits for its time start at another one.

        Raises:
            PayloadInvalid: neither or both of the two, or no time that is.
        """
        due = new_due(delay=delay, run_at=run_at, now=self.now_ms())
        await self._command(Command(kind="reschedule", job=_key(job), due=due), _queue(job))

    async def replay(self, job: Handle | JobKey) -> None:
        """Replay a dead job."""
        entry = self._open().get(_key(job).encode())
        generation = 0 if entry is None else entry.generation
        await self._command(
            Command(kind="replay", job=_key(job), generation=generation), _queue(job)
        )

    def jobs(self, *, state: State | str | None = None) -> list[OpenEntry | LedgerRecord]:
        """All jobs that were taken over or are over; those of one state if given."""
        found: list[OpenEntry | LedgerRecord] = [*self._entries(), *self._records()]
        return [job for job in found if state is None or job.state == state]

    def result(self, job: Handle | JobKey) -> Any:
        """What a completed job returned; `await handle.result()` lets time pass until it has.

        Raises:
            JobFailed: the job is dead, cancelled, discarded or expired.
            ResultTimeout: it is not over yet; says in what state it is.
        """
        key = _key(job)
        status = status_of(self._story(key, job.time if isinstance(job, Handle) else None))
        if status.state in FAILED:
            raise failed(key, status)
        if status.state is not State.COMPLETED:
            raise ResultTimeout(_not_over(key, status))
        if status.stored is not None:
            return orjson.loads(self.cluster.objects.kept[status.stored.path][0])
        return status.result

    def enqueued(self, kind: type[JobPayload]) -> list[JobPayload]:
        """All payloads of a contract that were ever enqueued, oldest first by partition."""
        envelopes = [
            envelope
            for queue in self.cluster.registry.queues()
            for record in self.cluster.log.records(self.cluster.names.queue(queue))
            if (envelope := _decoded(record)) is not None
        ]
        return [
            kind.model_validate_json(envelope.payload)
            for envelope in envelopes
            if envelope.name == kind.__job_name__
        ]

    # What carries it: see `Sender`

    def now_ms(self) -> int:
        """The virtual time, in milliseconds since the epoch."""
        return self.cluster.clock.now()

    async def _deliver(self, items: Sequence[tuple[str, Envelope]]) -> list[int]:
        if self._worker is None:
            raise StreamsError("this Sandbox is not open: use `async with Sandbox(...) as box:`")
        for _, envelope in items:
            if envelope.queue is not None:
                self._check_queue(envelope.queue)
        partitions = []
        for topic, envelope in items:
            key, value, headers = encode(envelope)
            partitions.append(self.cluster.partition_of(key))
            self.cluster.log.write(Append(topic, partitions[-1], key, value, headers))
        await self.cluster.settle()
        return partitions

    async def _append(
        self, topic: str, *, key: bytes, value: bytes | None, partition: int, job_id: str | None
    ) -> None:
        self.cluster.log.write(Append(topic, partition, key, value))
        if topic == self.topics.control:
            for worker in self.cluster.workers:
                await worker.engine.look_at_control()
        await self.cluster.settle()

    async def _ends(self, topic: str) -> dict[int, int]:
        log = self.cluster.log
        return {n: await log.end(topic, n) for n in range(log.partitions)}

    async def _scheduled(self, name: str, queue: str | None) -> Scheduled:
        if queue is not None:
            self._check_queue(queue)
        control = self.cluster.latest(self.topics.control)
        ticked = control.get(TICKED + name.encode())
        return Scheduled(
            is_added=ADDED + name.encode() in control,
            ticked=None if ticked is None else decode_ticked(ticked),
        )

    def in_time(self, ms: int) -> AbstractAsyncContextManager[object]:
        """Nothing: `story` bounds a wait, which takes virtual time."""
        return nullcontext()

    async def story(self, handle: Handle, *, wait_ms: int | None) -> AsyncIterator[Story]:
        """See `Handle.status` and `Handle.result`; who waits lets time pass."""
        until = None if wait_ms is None else self.now_ms() + wait_ms
        yield self._story(handle.job, handle.time, handle.replaces_dead)
        is_left = until is not None
        while until is not None and is_left:
            async with self._passing:
                is_left = await self.cluster.advance_once(until)
            yield self._story(handle.job, handle.time, handle.replaces_dead)
        if until is not None:
            raise TimeoutError

    async def fetch(self, stored: StoredResult) -> bytes:
        """See `Handle.result`."""
        return await self.cluster.objects.get(stored.path)

    # State

    def _check_queue(self, queue: str) -> None:
        queues = self.cluster.registry.queues()
        if queue not in queues:
            raise TopicMismatch(
                f"there is no queue {queue!r} in this sandbox, which has {', '.join(queues)}: "
                "correct it, or say Sandbox(..., queues=(...))"
            )

    async def _command(self, command: Command, queue: str | None = None) -> None:
        job = command.job
        key, value = encode_command(command)
        await self._append(
            self.cluster.names.commands(queue or self._queue_of(job)),
            key=key,
            value=value,
            partition=self.cluster.partition_of((job.ordering_key or job.id).encode()),
            job_id=None,
        )

    def _queue_of(self, job: JobKey) -> str:
        """Where state has it, else where its definition says."""
        key, names = job.encode(), self.cluster.names
        for queue in self.cluster.registry.queues():
            if any(key in self.cluster.latest(of(queue)) for of in (names.retry, names.ledger)):
                return queue
        definition = self.cluster.registry.by_name(job.name)
        return definition.queue if definition is not None else QUEUES[1]

    def _story(self, job: JobKey, sent: int | None, replaces_dead: bool = False) -> Story:
        """What there is of a job; of one that was sent at a time, and not of an earlier run."""
        ledger = self._ledger().get(job.encode())
        if ledger is not None and sent is not None and not answers(ledger, sent):
            ledger = None
        entry = self._open().get(job.encode())
        if entry is not None and sent is not None and precedes(entry, sent, replaces_dead):
            entry = None
        return Story(entry=entry, ledger=ledger)

    def _open(self) -> dict[bytes, OpenEntry]:
        return {entry.job.encode(): entry for entry in self._entries()}

    def _ledger(self) -> dict[bytes, LedgerRecord]:
        return {record.job.encode(): record for record in self._records()}

    def _entries(self) -> Iterator[OpenEntry]:
        for key, value in self._state(self.cluster.names.retry):
            yield decode_open(key, value)

    def _records(self) -> Iterator[LedgerRecord]:
        for key, value in self._state(self.cluster.names.ledger):
            yield decode_ledger(key, value)

    def _state(self, topic: Callable[[str], str]) -> Iterator[tuple[bytes, bytes]]:
        for queue in self.cluster.registry.queues():
            for key, value in self.cluster.latest(topic(queue)).items():
                if not key.startswith(b"#"):
                    yield key, value


def _key(job: Handle | JobKey) -> JobKey:
    return job.job if isinstance(job, Handle) else job


def _queue(job: Handle | JobKey) -> str | None:
    return job.queue if isinstance(job, Handle) else None


def _not_over(job: JobKey, status: JobStatus) -> str:
    until = "" if status.due is None else f", until {status.due.isoformat()}"
    why = "" if status.error is None else f" ({status.error})"
    return (
        f"job {job.name} {job.id} is {status.state}{until}{why}: it has no result yet; "
        "`await box.advance(...)` lets time pass, `await handle.result()` until it is over"
    )


def _decoded(record: Record) -> Envelope | None:
    with suppress(UndecodableRecord):
        return decode(record)
    return None


def _moment(start: datetime) -> int:
    if start.tzinfo is None:
        raise ValueError(f"start={start!r} has no time zone: write datetime(..., tzinfo=UTC)")
    return to_epoch_ms(start)


def _values(given: tuple[Any, ...]) -> list[Any]:
    for each in given:
        if not (isinstance(each, ModuleType) or handlers_among([each]) or listeners_among([each])):
            raise TypeError(
                f"Sandbox(...) takes modules, handlers and listeners, one by one; not {each!r}"
            )
    return [
        value
        for each in given
        for value in (vars(each).values() if isinstance(each, ModuleType) else (each,))
    ]
