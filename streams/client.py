"""JobClient: how a service emits events and enqueues jobs, with Kafka and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from contextvars import ContextVar, Token
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from streams.client_control import ControlView
from streams.client_delivery import Delivery
from streams.client_handle import Handle, JobStatus
from streams.client_request import JobOptions, now_ms
from streams.client_schedule import Scheduled
from streams.client_sender import Sender
from streams.client_story import Place, Story, read_story
from streams.client_watch import Change, Wanted, watch_changes
from streams.durations import Duration, to_ms
from streams.errors import ObjectsUnavailable, StreamsError
from streams.jobs.outcome import StoredResult
from streams.jobs.states import State
from streams.wire.envelope import Envelope
from streams.wire.topics import MAX_PAYLOAD_BYTES, TopicNames

if TYPE_CHECKING:
    from streams.client_sync import SyncJobClient

__all__ = ["Change", "Handle", "JobClient", "JobOptions", "JobStatus", "Sender", "current"]

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


class JobClient(Sender):
    """Sends events and jobs; returns when all in-sync replicas have them.

    Durations are text such as "10s", or `timedelta`; `max_payload` is in bytes. `objects` is where
    workers keep large results (their STREAMS_OBJECTS): a directory, or s3://.... `kafka` takes
    aiokafka's arguments for TLS and SASL (`security_protocol`, `ssl_context`, `sasl_...`).
    `connects_late`: with the first call, so that it can be opened while no broker is there.

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
        connects_late: bool = False,
    ) -> None:
        super().__init__(source=source, topics=TopicNames(prefix), max_payload=max_payload)
        self._bootstrap = (
            bootstrap_servers if isinstance(bootstrap_servers, str) else list(bootstrap_servers)
        )
        self._objects = objects
        self._kafka = dict(kafka or {})
        self._connects_late = connects_late
        self._delivery = Delivery(
            self._bootstrap, client_id, timeout_ms=to_ms(delivery_timeout), kafka=self._kafka
        )
        self._control = ControlView(
            self._bootstrap,
            self.topics.control,
            timeout_ms=self._delivery.timeout_ms,
            kafka=self._kafka,
        )
        self._token: Token[JobClient | None] | None = None

    @classmethod
    def sync(cls, bootstrap_servers: str | Sequence[str], **arguments: Any) -> SyncJobClient:
        """The same client for code without an event loop; takes the same arguments."""
        from streams.client_sync import SyncJobClient

        return SyncJobClient(lambda: cls(bootstrap_servers, **arguments))

    async def __aenter__(self) -> Self:
        await self._delivery.open(late=self._connects_late)
        self._token = _current.set(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._token is not None:
            try:
                _current.reset(self._token)
            except ValueError:  # left in another task than it was entered in
                _current.set(None)
        await self._control.close()
        await self._delivery.close()

    @property
    def delivery(self) -> Delivery:
        """What puts records on topics; for tools of the engine."""
        return self._delivery

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

    def in_time(self, ms: int) -> AbstractAsyncContextManager[object]:
        """See `Handle.result`."""
        return asyncio.timeout(ms / 1000)

    async def story(self, handle: Handle, *, wait_ms: int | None) -> AsyncIterator[Story]:
        """See `Handle.status` and `Handle.result`; who waits says in `in_time` for how long."""
        place = Place(
            retry=self.topics.retry(handle.queue),
            ledger=self.topics.ledger(handle.queue),
            partition=handle.partition,
            key=handle.job.encode(),
            since=handle.time,
            repeatable=handle.id_given,
            replaces_dead=handle.replaces_dead,
        )
        await self._delivery.require(place.retry, place.ledger, job_id=handle.id)
        stories = read_story(
            self._bootstrap,
            place,
            follow=wait_ms is not None,
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

    # What carries it

    def now_ms(self) -> int:
        """This machine's clock, milliseconds since the epoch."""
        return now_ms()

    async def _deliver(self, items: Sequence[tuple[str, Envelope]]) -> list[int]:
        return await self._delivery.deliver(items)

    async def _append(
        self, topic: str, *, key: bytes, value: bytes | None, partition: int, job_id: str | None
    ) -> None:
        await self._delivery.append(topic, key=key, value=value, partition=partition, job_id=job_id)

    async def _ends(self, topic: str) -> dict[int, int]:
        return await self._delivery.ends(topic)

    async def _scheduled(self, name: str, queue: str | None) -> Scheduled:
        queues = [] if queue is None else [self.topics.queue(queue)]
        await self._delivery.require(*queues, self.topics.control, job_id=None)
        return await self._control.scheduled(name)


def _several(given: Any) -> list[Any] | None:
    if given is None:
        return None
    return [given] if isinstance(given, str) else list(given)
