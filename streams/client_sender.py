"""Sender: what a client asks of the system, whatever carries it: events, jobs, schedules."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from streams.client_handle import Handle
from streams.client_request import (
    JobOptions,
    Metadata,
    as_json,
    bounded,
    check_event,
    check_job,
    check_raw_options,
    checked,
    child_envelope,
    each,
    event_envelope,
    job_envelope,
    nameless,
)
from streams.client_schedule import (
    Scheduled,
    added_schedule,
    check_free,
    check_schedule_name,
    removed,
    run_time_schedule,
)
from streams.client_story import Story
from streams.durations import Duration
from streams.errors import ScheduleInvalid
from streams.jobs.batches import Awaits, When, check_batch
from streams.jobs.identity import JobKey
from streams.jobs.outcome import StoredResult
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import Envelope
from streams.wire.schedules import encode_added
from streams.wire.topics import MAX_PAYLOAD_BYTES, TopicNames

if TYPE_CHECKING:
    from streams.contracts import Event, JobPayload
    from streams.cron.schedule import Cron, Every
    from streams.jobs.retry import Exponential, Fixed

# What an enqueue_many has on its way at a time.
_CHUNK: Final = 1_000
_CHUNK_BYTES: Final = 8 * 1024 * 1024


class Sender(ABC):
    """Emits events and enqueues jobs: `JobClient` on Kafka, `Sandbox` in memory.

    Code that takes a `Sender` can be given either.
    """

    def __init__(
        self, *, source: str, topics: TopicNames, max_payload: int = MAX_PAYLOAD_BYTES
    ) -> None:
        self.source = source
        self.topics = topics
        self.max_payload = max_payload  # bytes

    # What carries it

    @abstractmethod
    def now_ms(self) -> int:
        """The time of what is sent now, in milliseconds since the epoch."""

    @abstractmethod
    async def _deliver(self, items: Sequence[tuple[str, Envelope]]) -> list[int]:
        """Put all on their topics, in order; the partition of each, once they are durable."""

    @abstractmethod
    async def _append(
        self, topic: str, *, key: bytes, value: bytes | None, partition: int, job_id: str | None
    ) -> None:
        """Write one record to a partition that is known; durable when this returns."""

    @abstractmethod
    async def _ends(self, topic: str) -> dict[int, int]:
        """Where each partition of a topic ends."""

    @abstractmethod
    async def _scheduled(self, name: str, queue: str | None) -> Scheduled:
        """What the control topic says of a schedule; the queue, if any, must exist."""

    # What handles ask for: see `streams.client_handle.Link`

    @abstractmethod
    def in_time(self, ms: int) -> AbstractAsyncContextManager[Any]:
        """What ends a wait of so long with a TimeoutError."""

    @abstractmethod
    def story(self, handle: Handle, *, wait_ms: int | None) -> AsyncIterator[Story]:
        """What state says about a job."""

    @abstractmethod
    async def fetch(self, stored: StoredResult) -> bytes:
        """A result from object storage."""

    async def command(self, handle: Handle, key: bytes, value: bytes) -> None:
        """See `Handle.cancel`."""
        await self._append(
            self.topics.commands(handle.queue),
            key=key,
            value=value,
            partition=handle.partition,
            job_id=handle.id,
        )

    # Events

    async def emit(
        self,
        event: Event,
        *,
        id: str | None = None,
        time: datetime | None = None,
        **metadata: Metadata,
    ) -> str:
        """Publish a fact; its id. `metadata` travels as CloudEvents extensions.

        Names of metadata are up to 20 of a-z, 0-9 and `_`, which is dropped on the way.

        Raises:
            TypeError: it is no event, or metadata has the name of an option, or nearly so.
        """
        check_event(event, metadata)
        event, payload = checked(event)
        if not event.__event_type__:
            raise nameless(event, "type")
        return await self._emit(
            event.__event_type__, payload, event.ordering_key(), id, time, metadata
        )

    async def emit_raw(
        self,
        type: str,
        data: Mapping[str, Any],
        *,
        key: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
        **metadata: Metadata,
    ) -> str:
        """`emit` for those who have no contract at hand; `key` is the ordering key."""
        check_raw_options(metadata, "emit_raw")
        return await self._emit(type, as_json(data), key, id, time, metadata)

    async def _emit(
        self,
        type: str,
        payload: bytes,
        key: str | None,
        id: str | None,
        time: datetime | None,
        metadata: Mapping[str, Metadata],
    ) -> str:
        envelope = event_envelope(
            type=type,
            source=self.source,
            payload=bounded(payload, self.max_payload, type),
            key=key,
            id=id,
            time=time,
            now=self.now_ms(),
            metadata=metadata,
        )
        await self._deliver([(self.topics.event(type), envelope)])
        return envelope.id

    # Jobs

    async def enqueue(
        self,
        payload: JobPayload,
        *,
        id: str | None = None,
        queue: str | None = None,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        attempts: int | None = None,
        timeout: Duration | None = None,
        expires: Duration | None = None,
        backoff: Exponential | Fixed | None = None,
        on_dead_id: Literal["replace"] | None = None,
        **metadata: Metadata,
    ) -> Handle:
        """Ask for one job; the same `id` again in the same queue is the same job.

        `queue` is another one than the contract's: keys have an order within each queue only.
        `delay` or `run_at` (with a time zone) say when, the past meaning now; `expires` is counted
        from now. `attempts`, `timeout` and `backoff` override the definition's for this job alone.
        `on_dead_id="replace"`: a dead job with this `id` is discarded, and this one runs; else it
        is dropped, as long as that is not replayed or discarded. `metadata` is as in `emit`.

        Raises:
            TypeError: it is no payload, or metadata has the name of an option, or nearly so.
        """
        options = JobOptions(
            delay=delay,
            run_at=run_at,
            attempts=attempts,
            timeout=timeout,
            expires=expires,
            backoff=backoff,
            on_dead_id=on_dead_id,
        )
        envelope = self._job(payload, id, queue, options, metadata)
        return (await self._send_jobs([envelope], id_given=id is not None))[0]

    async def enqueue_many(
        self,
        payloads: Iterable[JobPayload] | AsyncIterable[JobPayload],
        *,
        id: Callable[[JobPayload], str] | None = None,
        queue: str | None = None,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        attempts: int | None = None,
        timeout: Duration | None = None,
        expires: Duration | None = None,
        backoff: Exponential | Fixed | None = None,
        on_dead_id: Literal["replace"] | None = None,
        **metadata: Metadata,
    ) -> list[Handle]:
        """`enqueue` for any number, a thousand at a time; `id` makes each one's id.

        Not all or nothing: an error leaves those before it enqueued, and perhaps some after it.
        """
        options = JobOptions(
            delay=delay,
            run_at=run_at,
            attempts=attempts,
            timeout=timeout,
            expires=expires,
            backoff=backoff,
            on_dead_id=on_dead_id,
        )
        return await self._send_many(
            (
                self._job(payload, None if id is None else id(payload), queue, options, metadata)
                async for payload in each(payloads)
            ),
            id_given=id is not None,
        )

    async def enqueue_batch(
        self,
        jobs: Iterable[JobPayload] | AsyncIterable[JobPayload],
        *,
        then: JobPayload,
        when: When = "over",
        id: str | None = None,
        **metadata: Metadata,
    ) -> Handle:
        """Enqueue many jobs, and `then`, which runs once all of them are over; its handle.

        `when="completed"`: once all of them have completed; see `JobContext.enqueue_batch`. With
        the same `id` and the same jobs it is the same batch, so that it can be sent again after an
        error, which leaves a part of it enqueued. All of the jobs are held in memory.

        Raises:
            ValueError: there are more than 1,000,000, or `when` is neither of the two.
        """
        callback = self._job(then, id, None, JobOptions(), metadata)
        children = [self._job(p, None, None, JobOptions(), metadata) async for p in each(jobs)]
        check_batch("enqueue_batch", len(children), when)
        if not children:
            return (await self._send_jobs([callback], id_given=id is not None))[0]
        first = replace(callback, awaits=Awaits(size=len(children), when=when))
        # Before its children: none of them reports before it is there.
        (handle,) = await self._send_jobs([first], id_given=id is not None)
        await self._send_many(
            each(child_envelope(callback, child, index) for index, child in enumerate(children)),
            id_given=False,
        )
        return handle

    async def enqueue_raw(
        self,
        name: str,
        queue: str,
        payload: Mapping[str, Any] | bytes,
        *,
        key: str | None = None,
        key_scope: str | None = None,
        id: str | None = None,
        options: JobOptions | None = None,
        **metadata: Metadata,
    ) -> Handle:
        """`enqueue` for those who have no contract at hand; bytes are JSON already."""
        check_raw_options(metadata, "enqueue_raw")
        data = payload if isinstance(payload, bytes) else as_json(payload)
        envelope = job_envelope(
            name=name,
            queue=queue,
            source=self.source,
            payload=bounded(data, self.max_payload, name),
            scope=key_scope or name,
            key=key,
            id=id,
            options=options or JobOptions(),
            now=self.now_ms(),
            metadata=metadata,
        )
        return (await self._send_jobs([envelope], id_given=id is not None))[0]

    def _job(
        self,
        payload: JobPayload,
        id: str | None,
        queue: str | None,
        options: JobOptions,
        metadata: Mapping[str, Metadata],
    ) -> Envelope:
        check_job(payload, metadata)
        payload, data = checked(payload)
        name = payload.__job_name__
        if not name:
            raise nameless(payload, "name")
        return job_envelope(
            name=name,
            queue=queue or payload.__queue__,
            source=self.source,
            payload=bounded(data, self.max_payload, name),
            scope=payload.__key_scope__ or name,
            key=payload.ordering_key(),
            id=id,
            options=options,
            now=self.now_ms(),
            metadata=metadata,
        )

    async def _send_many(
        self, envelopes: AsyncIterable[Envelope], *, id_given: bool
    ) -> list[Handle]:
        """Send any number, so many or so many bytes at a time."""
        handles: list[Handle] = []
        chunk: list[Envelope] = []
        size = 0
        async for envelope in envelopes:
            chunk.append(envelope)
            size += len(envelope.payload)
            if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
                handles += await self._send_jobs(chunk, id_given=id_given)
                chunk, size = [], 0
        if chunk:
            handles += await self._send_jobs(chunk, id_given=id_given)
        return handles

    async def _send_jobs(self, envelopes: Sequence[Envelope], *, id_given: bool) -> list[Handle]:
        partitions = await self._deliver([(self.topics.queue(e.queue or ""), e) for e in envelopes])
        return [
            Handle(
                id=e.id,
                name=e.name,
                queue=e.queue or "",
                key=e.key,
                time=e.time,
                partition=partition,
                id_given=id_given,
                replaces_dead=e.replaces_dead,
                link=self,
            )
            for e, partition in zip(envelopes, partitions, strict=True)
        ]

    # Calling off

    async def purge(self, queue: str, name: str | None = None, *, reason: str = "") -> None:
        """Cancel all jobs that wait in a queue, or those of one name; durable when this returns.

        Those are meant that were enqueued before, wherever they wait. What runs goes on, and dead
        letters stay. `reason` is kept with each job. See `Handle.cancel` for a single one.

        Raises:
            ValueError: the name is empty.
            BrokerUnavailable: not acknowledged in time; perhaps a part is purged. Asking again also
                means what was enqueued meanwhile.
            TopicMismatch: there is no such queue.
        """
        if name == "":
            raise ValueError("purge: the name is empty; leave it out for all jobs of the queue")
        ends = await self._ends(self.topics.queue(queue))
        meant = JobKey(name=name or "", ordering_key=None, id="")
        asked = [
            self._ask(queue, partition, Command(kind="purge", job=meant, reason=reason, until=end))
            for partition, end in ends.items()
        ]
        await asyncio.gather(*asked)

    async def _ask(self, queue: str, partition: int, command: Command) -> None:
        key, value = encode_command(command)
        topic = self.topics.commands(queue)
        await self._append(topic, key=key, value=value, partition=partition, job_id=None)

    # Schedules

    async def schedule(self, name: str, schedule: Cron | Every, payload: JobPayload) -> None:
        """Have the clock enqueue a job; durable when this returns.

        A schedule of this name that was added before is replaced: times that are the same go on
        where they were, others begin now, and one that is paused stays so. Workers know within a
        second. What runs of it may overlap, as far as the key, `unique=` and the limits of its job
        allow.

        Raises:
            TypeError: it is no payload.
            ScheduleInvalid: the schedule makes no sense or would never run, the name may not be, or
                a worker has a schedule of this name from its code.
            PayloadInvalid, PayloadTooLarge: as in `enqueue`.
            BrokerUnavailable: not acknowledged in time; calling again is safe.
            TopicMismatch: there is no such queue.
        """
        check_schedule_name(name)
        check_job(payload, {}, "schedule")
        if not payload.__job_name__:
            raise nameless(payload, "name")
        kept = run_time_schedule(schedule, self.now_ms())
        added = added_schedule(kept, payload, self.max_payload)
        check_free(name, await self._scheduled(name, added.queue))
        await self._keep(*encode_added(name, added))

    async def unschedule(self, name: str) -> bool:
        """Remove a schedule that was added; durable when this returns. What runs of it goes on.

        Returns:
            False: there is none of this name.

        Raises:
            ScheduleInvalid: it is in the code of a worker, where it is to be taken out.
            BrokerUnavailable: not acknowledged in time; calling again is safe.
        """
        check_schedule_name(name)
        scheduled = await self._scheduled(name, None)
        if not scheduled.is_added:
            if scheduled.is_in_code:
                raise ScheduleInvalid(
                    f"the schedule {name} is in the code of a worker: take cron= out there, or "
                    f"stop it with `streams cron pause {name}`"
                )
            return False
        for key, value in removed(name, scheduled):
            await self._keep(key, value)
        return True

    async def _keep(self, key: bytes, value: bytes | None) -> None:
        topic = self.topics.control
        await self._append(topic, key=key, value=value, partition=0, job_id=None)
