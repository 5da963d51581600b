"""Sends what a handler asks for through its context: child jobs and events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from streams.contracts import Event, JobPayload
from streams.jobs.context import JobContext
from streams.jobs.durations import to_ms
from streams.jobs.identity import child_id
from streams.wire.envelope import Envelope, encode
from streams.wire.topics import TopicNames
from streams.worker.ports import Append


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
        is_event = isinstance(message, Event)
        name = message.__event_type__ if isinstance(message, Event) else message.__job_name__
        payload = message.model_dump_json().encode()
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
        key = raw_key
        if raw_key is not None and not is_event:
            key = f"{message.__key_scope__ or name}:{raw_key}"
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
        record_key, value, headers = encode(envelope)
        try:
            await self._log.append([Append(topic, None, record_key, value, headers)])
        except BaseException:
            if occurrence is not None:
                context.forget_occurrence(name, payload, occurrence)
            raise
        return id_
