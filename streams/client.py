"""JobClient: how a service emits events and enqueues jobs, with Kafka and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from contextvars import ContextVar, Token
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from streams.client_delivery import Delivery
from streams.client_handle import Handle, JobStatus
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
from streams.client_story import Place, Story, read_story
from streams.client_watch import Change, Wanted, watch_changes
from streams.durations import Duration, to_ms
from streams.errors import ObjectsUnavailable, StreamsError
from streams.jobs.batches import Awaits, When, check_batch
from streams.jobs.identity import JobKey
from streams.jobs.outcome import StoredResult
from streams.jobs.states import State
from streams.wire.envelope import Envelope
from streams.wire.state import Command, encode_command
from streams.wire.topics import MAX_PAYLOAD_BYTES, TopicNames

if TYPE_CHECKING:
    from streams.client_sync import SyncJobClient
    from streams.contracts import Event, JobPayload
    from streams.jobs.retry import Exponential, Fixed

__all__ = ["Change", "Handle", "JobClient", "JobOptions", "JobStatus", "current"]

# What an enqueue_many has on its way at a time.
_CHUNK: Final = 1_000
_CHUNK_BYTES: Final = 8 * 1024 * 1024
_current: ContextVar[JobClient | None] = ContextVar("streams_client", default=None)


def current() -> JobClient:
    """The client of the innermost `async with JobClient(...)` around this code.

    Raises:
        StreamsError: there is none.
    """
    client = _current.get()
    if client is None:
        raise StreamsError(
            "no JobClient is open here: write `async with JobClient(servers, source=...):` around "
            "this, or call `enqueue` of a client that you have"
        )
    return client


class JobClient:
    """Sends events and jobs; returns when all in-sync replicas have them.

    Durations are text such as "10s", or `timedelta`; `max_payload` is in bytes. `objects` is where
    workers keep large results (their STREAMS_OBJECTS): a directory, or s3://.... `kafka` takes
    aiokafka's arguments for TLS and SASL (`security_protocol`, `ssl_context`, `sasl_...`).

    Whatever sends raises `BrokerUnavailable` within `delivery_timeout` if the broker does not
    answer, `PayloadInvalid` and `PayloadTooLarge` before anything is sent, and `TopicMismatch`
    if there is no such queue or event topic.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        source: str,
        prefix: str = "",
        delivery_timeout: Duration = "10s",
        max_payload: int = MAX_PAYLOAD_BYTES,
        client_id: str = "streams-client",
        objects: str | None = None,
        kafka: Mapping[str, Any] | None = None,
    ) -> None:
        self.source = source
        self.topics = TopicNames(prefix)
        self.max_payload = max_payload
        self._bootstrap = (
            bootstrap_servers if isinstance(bootstrap_servers, str) else list(bootstrap_servers)
        )
        self._objects = objects
        self._kafka = dict(kafka or {})
        self._delivery = Delivery(
            self._bootstrap, client_id, timeout_ms=to_ms(delivery_timeout), kafka=self._kafka
        )
        self._token: Token[JobClient | None] | None = None

    @classmethod
    def sync(cls, bootstrap_servers: str | Sequence[str], **arguments: Any) -> SyncJobClient:
        """The same client for code without an event loop; takes the same arguments."""
        from streams.client_sync import SyncJobClient

        return SyncJobClient(lambda: cls(bootstrap_servers, **arguments))

    async def __aenter__(self) -> Self:
        await self._delivery.open()
        self._token = _current.set(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._token is not None:
            try:
                _current.reset(self._token)
            except ValueError:  # left in another task than it was entered in
                _current.set(None)
        await self._delivery.close()

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
            metadata=metadata,
        )
        await self._delivery.deliver([(self.topics.event(type), envelope)])
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
        **metadata: Metadata,
    ) -> Handle:
        """Ask for one job; the same `id` again in the same queue is the same job.

        `queue` is another one than the contract's: keys have an order within each queue only.
        `delay` or `run_at` (with a time zone) say when, the past meaning now; `expires` is counted
        from now. `attempts`, `timeout` and `backoff` override the definition's for this job alone.
        `metadata` is as in `emit`.

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
        partitions = await self._delivery.deliver(
            [(self.topics.queue(e.queue or ""), e) for e in envelopes]
        )
        return [
            Handle(
                id=e.id,
                name=e.name,
                queue=e.queue or "",
                key=e.key,
                time=e.time,
                partition=partition,
                id_given=id_given,
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
        ends = await self._delivery.ends(self.topics.queue(queue))
        meant = JobKey(name=name or "", ordering_key=None, id="")
        asked = [
            self._ask(queue, partition, Command(kind="purge", job=meant, reason=reason, until=end))
            for partition, end in ends.items()
        ]
        await asyncio.gather(*asked)

    async def _ask(self, queue: str, partition: int, command: Command) -> None:
        key, value = encode_command(command)
        topic = self.topics.commands(queue)
        await self._delivery.append(topic, key=key, value=value, partition=partition, job_id=None)

    # Watching

    async def watch(
        self,
        *,
        id: str | Sequence[str] | None = None,
        name: str | Sequence[str] | None = None,
        queue: str | Sequence[str] | None = None,
        state: State | str | Sequence[State | str] | None = None,
        since: datetime | None = None,
    ) -> AsyncGenerator[Change, None]:
        """Each change of a job's state as it is written, from `since` or from now on, for ever.

        Changes of one job come in order, and may come twice; those of several queues by the
        broker's time. A job that runs for a short time is seen when it is over. Read it in
        `async with aclosing(jobs.watch(...)) as changes`, or until the end of the program.

        Raises:
            ValueError: there is no such state.
            BrokerUnavailable: no broker answered in time.
            TopicMismatch: there is no such queue.
        """
        states = _several(state)
        wanted = Wanted(
            ids=_several(id),
            names=_several(name),
            states=None if states is None else frozenset(State(one) for one in states),
        )
        changes = watch_changes(
            self._bootstrap,
            self.topics,
            wanted,
            queues=_several(queue),
            since=None if since is None else int(since.timestamp() * 1000),
            timeout_ms=self._delivery.timeout_ms,
            kafka=self._kafka,
        )
        async with aclosing(changes):
            async for change in changes:
                yield change

    # What handles ask for

    async def story(self, handle: Handle, *, follow: bool) -> AsyncIterator[Story]:
        """See `Handle.status` and `Handle.result`."""
        place = Place(
            retry=self.topics.retry(handle.queue),
            ledger=self.topics.ledger(handle.queue),
            partition=handle.partition,
            key=handle.job.encode(),
            since=handle.time,
            repeatable=handle.id_given,
        )
        await self._delivery.require(place.retry, place.ledger, job_id=handle.id)
        stories = read_story(
            self._bootstrap,
            place,
            follow=follow,
            timeout_ms=self._delivery.timeout_ms,
            kafka=self._kafka,
        )
        async with aclosing(stories):
            async for story in stories:
                yield story

    async def fetch(self, stored: StoredResult) -> bytes:
        """See `Handle.result`."""
        if self._objects is None:
            raise ObjectsUnavailable(
                f"the result has {stored.size} bytes, and is in object storage as {stored.path}: "
                'say where that is, as in JobClient(..., objects="s3://bucket")'
            )
        from streams.wire.objects import open_objects

        return await open_objects(self._objects).get(stored.path)

    async def command(self, handle: Handle, key: bytes, value: bytes) -> None:
        """See `Handle.cancel`."""
        await self._delivery.append(
            self.topics.commands(handle.queue),
            key=key,
            value=value,
            partition=handle.partition,
            job_id=handle.id,
        )


def _several(given: Any) -> list[Any] | None:
    if given is None:
        return None
    return [given] if isinstance(given, str) else list(given)
