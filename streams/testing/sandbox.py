"""An application under test: the real pipeline over an in-memory log, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Any, Self

import orjson

from streams.contracts import Event, JobPayload
from streams.durations import Duration, to_ms
from streams.jobs.discovery import handlers_among
from streams.jobs.identity import JobKey, new_id
from streams.jobs.lifecycle import LifecycleEvent
from streams.jobs.listening import listeners_among
from streams.jobs.middleware import Middleware
from streams.jobs.registry import Registry
from streams.jobs.resource import Factory
from streams.jobs.states import State
from streams.testing.cluster import MemoryCluster
from streams.testing.worker import MemoryWorker
from streams.wire.envelope import Envelope, decode, encode
from streams.wire.state import (
    Command,
    LedgerRecord,
    OpenEntry,
    decode_ledger,
    decode_open,
    encode_command,
)
from streams.worker.ports import Append

QUEUES = ("critical", "default", "bulk")


class Sandbox:
    """Runs handlers as production does, without Kafka and without waiting.

    Hand it modules with handlers and listeners, or these themselves. `resources` are values that
    handlers are given in place of what a factory would open, as in
    `Sandbox(agents, resources={open_database: fake})`; `middleware` goes around each handler.
    """

    def __init__(
        self,
        *handlers: Any,
        queues: tuple[str, ...] = QUEUES,
        partitions: int = 2,
        resources: Mapping[Factory, Any] | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        values = _values(handlers)
        registry = Registry.build(handlers_among(values), queues, middleware=middleware)
        self.events: list[LifecycleEvent] = []
        self.cluster = MemoryCluster(
            registry,
            partitions=partitions,
            listeners=(self.events.append,),
            replaced=resources,
            heard_by=listeners_among(values),
        )
        self._worker: MemoryWorker | None = None

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

    async def emit(self, event: Event, *, id: str | None = None) -> str:
        """Emit an event, and run what it starts until nothing moves; returns its id."""
        id_ = id or new_id()
        self._write(
            self.cluster.names.event(event.__event_type__),
            Envelope(
                id=id_,
                name=event.__event_type__,
                source="sandbox",
                time=self.cluster.clock.now(),
                payload=event.model_dump_json().encode(),
                key=event.ordering_key(),
            ),
        )
        await self.cluster.settle()
        return id_

    async def enqueue(
        self,
        payload: JobPayload,
        *,
        id: str | None = None,
        delay: Duration | None = None,
        expires: Duration | None = None,
    ) -> JobKey:
        """Enqueue a job, and run until nothing moves; returns the job's identity."""
        now = self.cluster.clock.now()
        raw_key = payload.ordering_key()
        name = payload.__job_name__
        key = None if raw_key is None else f"{payload.__key_scope__ or name}:{raw_key}"
        envelope = Envelope(
            id=id or new_id(),
            name=name,
            source="sandbox",
            time=now,
            queue=payload.__queue__,
            payload=payload.model_dump_json().encode(),
            key=key,
            not_before=None if delay is None else now + to_ms(delay),
            expires=None if expires is None else now + to_ms(expires),
        )
        self._write(self.cluster.names.queue(payload.__queue__), envelope)
        await self.cluster.settle()
        return JobKey(name=name, ordering_key=key, id=envelope.id)

    async def advance(self, duration: Duration) -> None:
        """Let virtual time pass, and let everything that comes due have its effect."""
        await self.cluster.advance_to(self.cluster.clock.now() + to_ms(duration))

    async def cancel(self, job: JobKey) -> None:
        """Cancel a job."""
        await self._command(Command(kind="cancel", job=job, reason="cancelled"))

    async def reschedule(self, job: JobKey, delay: Duration) -> None:
        """Let a job that waits for its time start so long from now."""
        due = self.cluster.clock.now() + to_ms(delay)
        await self._command(Command(kind="reschedule", job=job, due=due))

    async def replay(self, job: JobKey) -> None:
        """Replay a dead job."""
        entry = self._open().get(job.encode())
        generation = 0 if entry is None else entry.generation
        await self._command(Command(kind="replay", job=job, generation=generation))

    def jobs(self, *, state: State | str | None = None) -> list[OpenEntry | LedgerRecord]:
        """All jobs that were taken over or are over; those of one state if given."""
        found: list[OpenEntry | LedgerRecord] = [*self._open().values(), *self._ledger().values()]
        return [job for job in found if state is None or job.state == state]

    def result(self, job: JobKey) -> Any:
        """What a completed job returned."""
        record = self._ledger()[job.encode()]
        if record.stored is not None:
            return orjson.loads(self.cluster.objects.kept[record.stored.path][0])
        return None if record.result is None else orjson.loads(record.result)

    def enqueued(self, kind: type[JobPayload]) -> list[JobPayload]:
        """All payloads of a contract that were ever enqueued, oldest first by partition."""
        records = self.cluster.log.records(self.cluster.names.queue(kind.__queue__))
        envelopes = [decode(record) for record in records]
        return [
            kind.model_validate_json(envelope.payload)
            for envelope in envelopes
            if envelope.name == kind.__job_name__
        ]

    def _write(self, topic: str, envelope: Envelope) -> None:
        key, value, headers = encode(envelope)
        self.cluster.log.write(Append(topic, None, key, value, headers))

    async def _command(self, command: Command) -> None:
        definition = self.cluster.registry.by_name(command.job.name)
        queue = definition.queue if definition is not None else QUEUES[1]
        key, value = encode_command(command)
        record_key = command.job.ordering_key or command.job.id
        partition = self.cluster.partition_of(record_key.encode())
        topic = self.cluster.names.commands(queue)
        self.cluster.log.write(Append(topic, partition, key, value))
        await self.cluster.settle()

    def _open(self) -> dict[bytes, OpenEntry]:
        found = {}
        for queue in self.cluster.registry.queues():
            for key, value in self.cluster.latest(self.cluster.names.retry(queue)).items():
                if not key.startswith(b"#"):
                    found[key] = decode_open(key, value)
        return found

    def _ledger(self) -> dict[bytes, LedgerRecord]:
        found = {}
        for queue in self.cluster.registry.queues():
            for key, value in self.cluster.latest(self.cluster.names.ledger(queue)).items():
                if not key.startswith(b"#"):
                    found[key] = decode_ledger(key, value)
        return found


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
