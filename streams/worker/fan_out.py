"""From an event to one job for each definition that subscribes to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pydantic import ValidationError

from streams.errors import UndecodableRecord
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import fan_out_id
from streams.jobs.registry import Registry
from streams.wire.envelope import Envelope, Record, decode_event, encode
from streams.wire.state import undecodable_letter
from streams.wire.topics import TopicNames
from streams.worker.ports import Append, Clock, Log, Source

logger = logging.getLogger(__name__)

RETRY_PAUSE_MS = 500


class FanOut:
    """Owns one partition of an event topic; acknowledges a batch once its jobs are durable."""

    def __init__(
        self,
        event_type: str,
        *,
        registry: Registry,
        names: TopicNames,
        log: Log,
        source: Source,
        clock: Clock,
    ) -> None:
        self._event_type = event_type
        self._registry = registry
        self._names = names
        self._log = log
        self._source = source
        self._clock = clock
        self._batches: asyncio.Queue[Sequence[Record]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._busy = False

    def start(self) -> None:
        """Fan out until stopped."""
        self._task = asyncio.create_task(self._run(), name=f"fan-out-{self._event_type}")

    async def stop(self) -> None:
        """Stop at once: what is not acknowledged is delivered again, and is dropped as known."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def wants_more(self) -> bool:
        """Whether the topic may be read further."""
        return self._batches.qsize() < 4

    @property
    def quiet(self) -> bool:
        """Nothing to do."""
        return self._batches.empty() and not self._busy

    def deliver(self, records: Sequence[Record]) -> None:
        """Take a fetched batch."""
        self._batches.put_nowait(records)

    async def _run(self) -> None:
        while True:
            records = await self._batches.get()
            self._busy = True
            jobs = [job for record in records for job in self._jobs_of(record)]
            await self._append(jobs)
            self._source.release(records[-1].offset + 1)
            self._busy = False

    async def _append(self, jobs: Sequence[Append]) -> None:
        while jobs:
            try:
                await self._log.append(jobs)
                return
            except Exception:
                logger.exception("fan-out of %s failed; trying again", self._event_type)
                over = asyncio.Event()
                self._clock.call_at(self._clock.now() + RETRY_PAUSE_MS, over.set)
                await over.wait()

    def _jobs_of(self, record: Record) -> list[Append]:
        try:
            event = decode_event(record, self._event_type)
        except UndecodableRecord as error:
            letter = undecodable_letter(record, "", str(error), self._clock.now())
            return [Append(self._names.dead, None, *letter)]
        return [
            Append(self._names.queue(definition.queue), None, *encode(self._job(event, definition)))
            for definition in self._registry.subscribers(self._event_type)
        ]

    def _job(self, event: Envelope, definition: JobDefinition) -> Envelope:
        return Envelope(
            id=fan_out_id(definition.name, event.source, event.id),
            name=definition.name,
            source=event.source,
            time=event.time,
            queue=definition.queue,
            key=_key_of(event, definition),
            content_type=event.content_type,
            payload=event.payload,
            parent=event.id,
            traceparent=event.traceparent,
            extensions=event.extensions,
        )


def _key_of(event: Envelope, definition: JobDefinition) -> str | None:
    try:
        payload = definition.payload_type.model_validate_json(event.payload)
        key = definition.ordering_key(payload)
    except ValidationError:
        return None  # the queue tells what is wrong with it, in a dead letter of its own
    except Exception:  # a contract may compute its key, and stop no partition by it
        logger.exception("the key of event %s can't be computed; its job is unordered", event.id)
        return None
    return None if key is None else f"{definition.key_scope}:{key}"
