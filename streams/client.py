"""JobClient: how a service emits events and enqueues jobs, with Kafka and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar, Token
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.client_handle import Handle, JobStatus
from streams.client_request import (
    JobOptions,
    Metadata,
    as_json,
    bounded,
    checked,
    event_envelope,
    job_envelope,
)
from streams.client_story import Place, Story, read_story
from streams.contracts import Event, JobPayload
from streams.errors import BrokerUnavailable, PayloadInvalid, StreamsError
from streams.jobs.durations import Duration, to_ms
from streams.wire import producer as wire
from streams.wire.envelope import Envelope, encode
from streams.wire.partition import partition_of
from streams.wire.topics import MAX_PAYLOAD_BYTES, TopicNames

if TYPE_CHECKING:
    from streams.client_sync import SyncJobClient
    from streams.jobs.retry import Exponential, Fixed

__all__ = ["Handle", "JobClient", "JobStatus", "current"]

_CHUNK: Final = 1_000  # jobs of an enqueue_many that are on their way at a time
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

    Durations are text such as "10s", or `timedelta`; `max_payload` is in bytes. `kafka` takes
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
        kafka: Mapping[str, Any] | None = None,
    ) -> None:
        self.source = source
        self.topics = TopicNames(prefix)
        self.max_payload = max_payload
        self._bootstrap = (
            bootstrap_servers if isinstance(bootstrap_servers, str) else list(bootstrap_servers)
        )
        self._timeout_ms = to_ms(delivery_timeout)
        self._client_id = client_id
        self._kafka = dict(kafka or {})
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._closed = True
        self._token: Token[JobClient | None] | None = None

    @classmethod
    def sync(cls, bootstrap_servers: str | Sequence[str], **arguments: Any) -> SyncJobClient:
        """The same client for code without an event loop; takes the same arguments."""
        from streams.client_sync import SyncJobClient

        return SyncJobClient(lambda: cls(bootstrap_servers, **arguments))

    async def __aenter__(self) -> Self:
        self._closed = False
        await self._ready()
        self._token = _current.set(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        if self._token is not None:
            try:
                _current.reset(self._token)
            except ValueError:  # left in another task than it was entered in
                _current.set(None)
        producer, self._producer = self._producer, None
        if producer is not None:
            await wire.close_producer(producer, self._timeout_ms)

    # Events

    async def emit(
        self,
        event: Event,
        *,
        id: str | None = None,
        time: datetime | None = None,
        **metadata: Metadata,
    ) -> str:
        """Publish a fact; its id. `metadata` travels as CloudEvents extensions."""
        event, payload = checked(event)
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
        **metadata: Metadata,
    ) -> Handle:
        """Ask for one job; the same `id` again is the same job.

        `delay` or `run_at` (with a time zone) say when, the past meaning now; `expires` is counted
        from now. `attempts`, `timeout` and `backoff` override the definition's for this job alone.
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
        handles: list[Handle] = []
        chunk: list[Envelope] = []
        size = 0
        async for payload in _each(payloads):
            given = None if id is None else id(payload)
            chunk.append(self._job(payload, given, queue, options, metadata))
            size += len(chunk[-1].payload)
            if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
                handles += await self._send_jobs(chunk, id_given=id is not None)
                chunk, size = [], 0
        if chunk:
            handles += await self._send_jobs(chunk, id_given=id is not None)
        return handles

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
        payload, data = checked(payload)
        name = payload.__job_name__
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
                link=self,
            )
            for e, partition in zip(envelopes, partitions, strict=True)
        ]

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
        async with asyncio.timeout(self._timeout_ms / 1000):
            producer = await self._ready()
            for topic in (place.retry, place.ledger):
                await wire.partitions_for(producer, topic)
        stories = read_story(
            self._bootstrap, place, follow=follow, timeout_ms=self._timeout_ms, kafka=self._kafka
        )
        async with aclosing(stories):
            async for story in stories:
                yield story

    async def command(self, handle: Handle, key: bytes, value: bytes) -> None:
        """See `Handle.cancel`."""
        producer = await self._ready()
        await wire.send(
            producer,
            self.topics.commands(handle.queue),
            key=key,
            value=value,
            partition=handle.partition,
            timeout_ms=self._timeout_ms,
            job_id=handle.id,
        )

    # Delivery

    async def _ready(self) -> AIOKafkaProducer:
        """The producer; a new one if the last one has died."""
        if self._closed:
            raise StreamsError(
                "this JobClient is not open: use `async with JobClient(...) as jobs:`"
            )
        async with self._opening:
            if self._producer is not None and wire.is_broken(self._producer):
                await wire.abandon_producer(self._producer)
                self._producer = None
            if self._producer is None:
                self._producer = await wire.open_producer(
                    self._bootstrap,
                    self._client_id,
                    timeout_ms=self._timeout_ms,
                    kafka=self._kafka,
                )
            return self._producer

    async def _deliver(self, items: Sequence[tuple[str, Envelope]]) -> list[int]:
        """Send all, in order; the partition of each once every one is acknowledged."""
        records = [(topic, e, *_encoded(e)) for topic, e in items]
        sent: list[asyncio.Future[Any]] = []
        partitions: list[int] = []
        at = 0
        try:
            # An idempotent send never gives up by itself, so the clock is ours.
            async with asyncio.timeout(self._timeout_ms / 1000):
                producer = await self._ready()
                for topic, e, key, value, headers in records:
                    count = await wire.partitions_for(producer, topic)
                    partitions.append(partition_of(key, count))
                    sent.append(
                        await producer.send(topic, value, key, partitions[-1], None, headers)
                    )
                for at, future in enumerate(sent):  # noqa: B007
                    await asyncio.shield(future)
        except (TimeoutError, KafkaError) as error:
            topic, e, _, value, _ = records[min(at, len(records) - 1)]
            raise wire.refusal(error, topic, len(value), self._timeout_ms, e.id) from error
        except BrokerUnavailable as error:
            raise BrokerUnavailable(str(error), job_id=records[0][1].id) from error
        finally:
            for future in sent:
                future.add_done_callback(_forget)
        return partitions


_CHUNK_BYTES: Final = 8 * 1024 * 1024


def _encoded(envelope: Envelope) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    try:
        return encode(envelope)
    except UnicodeEncodeError as error:
        raise PayloadInvalid(
            f"{envelope.name}: id, key or metadata is not valid Unicode: {error}", field="id"
        ) from error


def _forget(future: asyncio.Future[Any]) -> None:
    # What failed after the first failure was reported is known to nobody, else asyncio logs it.
    if not future.cancelled():
        future.exception()


async def _each(
    payloads: Iterable[JobPayload] | AsyncIterable[JobPayload],
) -> AsyncIterator[JobPayload]:
    if isinstance(payloads, AsyncIterable):
        async for payload in payloads:
            yield payload
    else:
        for payload in payloads:
            yield payload
