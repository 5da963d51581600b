"""Sends what a handler asks for through its context: child jobs and events."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from streams.contracts import Event, JobPayload
from streams.durations import to_ms
from streams.jobs.batches import Awaits, ChildOf, When
from streams.jobs.context import JobContext
from streams.jobs.identity import JobKey, batch_child_id, batch_id, child_id
from streams.revealing import wire_json
from streams.wire.envelope import Envelope, encode
from streams.wire.topics import TopicNames
from streams.worker.ports import Append

CHUNK: Final = 1_000  # children that are appended at a time
CHUNK_BYTES: Final = 4 * 1024 * 1024  # of their payloads


class Appends(Protocol):
    """What it needs of the log."""

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """See `Log.append`."""
        ...


class ChildSender:
    """Appends before it returns; ids are derived, so that a repeated run sends the same again."""

    def __init__(self, names: TopicNames, log: Appends) -> None:
        self._names = names
        self._log = log

    async def __call__(
        self, context: JobContext, message: Event | JobPayload, options: dict[str, Any]
    ) -> str:
        name = message.__event_type__ if isinstance(message, Event) else message.__job_name__
        payload = wire_json(message)
        raw_key = message.ordering_key()
        id_: str | None = options.pop("id", None)
        delay = options.pop("delay", None)
        if options:
            raise TypeError(f"unknown options: {', '.join(sorted(options))}")
        occurrence: int | None = None
        if id_ is None:
            occurrence = context.occurrence(name, payload)
            # With the parent's time: its id may be used again after `unique_for`.
            parent = f"{context.idempotency_key}@{context.enqueued_at}"
            id_ = child_id(parent, context.generation, name, raw_key, payload, occurrence)
        key = _scoped(message) if isinstance(message, JobPayload) else raw_key
        envelope = Envelope(
            id=id_,
            name=name,
            source=context.name,
            # Neither the clock's time nor this run's: what a repeated or a later run sends again is
            # to be a copy, also after the child's `unique_for`.
            time=context.due,
            payload=payload,
            queue=None if isinstance(message, Event) else message.__queue__,
            key=key,
            not_before=None if delay is None else context.started + to_ms(delay),
            parent=context.id,
            traceparent=context.traceparent,
        )
        topic = (
            self._names.event(name)
            if isinstance(message, Event)
            else self._names.queue(message.__queue__)
        )
        try:
            await self._log.append([_append(topic, envelope)])
        except BaseException:
            if occurrence is not None:
                context.forget_occurrence(name, payload, occurrence)
            raise
        return id_

    async def batch(
        self, context: JobContext, children: Sequence[JobPayload], then: JobPayload, when: When
    ) -> str:
        """The callback first, and then its children: none of them reports before it is there."""
        payloads = [wire_json(child) for child in children]
        payload = wire_json(then)
        content = _digest_of(children, payloads, payload, when)
        name, key = then.__job_name__, _scoped(then)
        occurrence = context.occurrence(name, content.encode())
        parent = f"{context.idempotency_key}@{context.enqueued_at}"
        callback = JobKey(
            name=name,
            ordering_key=key,
            id=batch_id(parent, context.generation, name, key, f"{content}#{occurrence}"),
        )
        try:
            await self._send_batch(context, callback, children, payloads, then, payload, when)
        except BaseException:
            context.forget_occurrence(name, content.encode(), occurrence)
            raise
        return callback.id

    async def _send_batch(
        self,
        context: JobContext,
        callback: JobKey,
        children: Sequence[JobPayload],
        payloads: Sequence[bytes],
        then: JobPayload,
        payload: bytes,
        when: When,
    ) -> None:
        awaits = Awaits(size=len(children), when=when)
        envelope = self._envelope(context, then, payload, callback.id, awaits=awaits)
        await self._log.append([_append(self._names.queue(then.__queue__), envelope)])
        for chunk in _chunks(payloads):
            appends = []
            for index in chunk:
                child = children[index]
                id_ = batch_child_id(callback, child.__job_name__, index)
                whose = ChildOf(queue=then.__queue__, callback=callback, index=index)
                envelope = self._envelope(context, child, payloads[index], id_, child_of=whose)
                appends.append(_append(self._names.queue(child.__queue__), envelope))
            await self._log.append(appends)

    @staticmethod
    def _envelope(
        context: JobContext, job: JobPayload, payload: bytes, id_: str, **batch: Any
    ) -> Envelope:
        return Envelope(
            id=id_,
            name=job.__job_name__,
            source=context.name,
            time=context.due,  # as above
            payload=payload,
            queue=job.__queue__,
            key=_scoped(job),
            parent=context.id,
            traceparent=context.traceparent,
            **batch,
        )


def _scoped(job: JobPayload) -> str | None:
    """Its ordering key, with its scope."""
    key = job.ordering_key()
    return None if key is None else f"{job.__key_scope__ or job.__job_name__}:{key}"


def _append(topic: str, envelope: Envelope) -> Append:
    key, value, headers = encode(envelope)
    return Append(topic, None, key, value, headers)


def _digest_of(
    children: Sequence[JobPayload], payloads: Sequence[bytes], then: bytes, when: When
) -> str:
    digest = hashlib.sha256(f"{when} {len(then)} ".encode() + then)
    for child, payload in zip(children, payloads, strict=True):
        digest.update(f"{child.__job_name__} {child.__queue__} {len(payload)} ".encode())
        digest.update(payload)
    return digest.hexdigest()


def _chunks(payloads: Sequence[bytes]) -> Iterator[range]:
    """What is appended at a time: so many, or so many bytes."""
    start, size = 0, 0
    for index, payload in enumerate(payloads):
        size += len(payload)
        if index + 1 - start == CHUNK or size >= CHUNK_BYTES:
            yield range(start, index + 1)
            start, size = index + 1, 0
    if start < len(payloads):
        yield range(start, len(payloads))
