"""From an event to one job for each definition that subscribes to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from streams.errors import AppendFailed, UndecodableRecord
from streams.jobs.identity import fan_out_id
from streams.jobs.lifecycle import Happening, LifecycleEvent, Listener
from streams.jobs.outcome import trace_of
from streams.jobs.registry import Registry
from streams.redaction import redacted
from streams.sensitive import secrets_of
from streams.wire.envelope import Record, decode_event, encode, relay, relayed
from streams.wire.letters import undecodable_letter
from streams.wire.topics import TopicNames
from streams.worker.cancels import Cancels
from streams.worker.control import Control, commit_key
from streams.worker.event_jobs import append_of, job_of, key_of
from streams.worker.ports import Append, Clock, Log, Source

logger = logging.getLogger(__name__)

COMMIT_MS = 500  # how often a commit is kept
RETRY_PAUSE_MS = 500
WAITING_MAX = 4  # batches


class FanOut:
    """Owns one partition of an event topic; acknowledges a batch once its jobs are durable."""

    def __init__(
        self,
        event_type: str,
        partition: int,
        *,
        group: str,
        registry: Registry,
        names: TopicNames,
        log: Log,
        source: Source,
        clock: Clock,
        control: Control,
        notify: Listener,
        on_failure: Callable[[BaseException], None],
        partitions: int = 1,  # of each queue
    ) -> None:
        self._cancels = Cancels(event_type, registry, names, log, partitions)
        self._event_type = event_type
        self._registry = registry
        self._names = names
        self._log = log
        self._source = source
        self._clock = clock
        self._notify = notify
        self._on_failure = on_failure
        self._commit_key = commit_key(group, names.event(event_type), partition)
        self.watermark = control.commit(self._commit_key)
        self.position = self.watermark  # behind the last record that was delivered
        self._kept = self.watermark  # the commit that is kept in the control topic
        self._kept_at = 0
        self._batches: asyncio.Queue[Sequence[Record]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._busy = False

    def start(self) -> None:
        """Fan out until stopped."""
        self._source.release(self._kept)  # a crash may have kept it and not told the group
        self._task = asyncio.create_task(self._run(), name=f"fan-out-{self._event_type}")

    async def stop(self) -> None:
        """Stop at once: what is not acknowledged is delivered again, and is dropped as known."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def wants_more(self) -> bool:
        """Whether the topic may be read further."""
        return self._batches.qsize() < WAITING_MAX

    @property
    def quiet(self) -> bool:
        """Nothing to do."""
        return self._batches.empty() and not self._busy

    def skip_to(self, position: int) -> None:
        """Begin no earlier: the group has committed it, whatever the control topic remembers."""
        self.position = max(self.position, position)

    def deliver(self, records: Sequence[Record]) -> None:
        """Take a fetched batch."""
        self._batches.put_nowait(records)
        self.position = max(self.position, records[-1].offset + 1)

    async def _run(self) -> None:
        try:
            while True:
                records = await self._next_batch()
                self._busy = True
                if records is not None:
                    await self._append([job for record in records for job in self._jobs_of(record)])
                    if self._cancels:
                        await self._append(await self._commands_of(records))
                    self.watermark = max(self.watermark, records[-1].offset + 1)
                await self._keep_commit()
                self._busy = False
        except Exception as error:
            logger.exception("fan-out of %s failed", self._event_type)
            self._on_failure(error)

    async def _next_batch(self) -> Sequence[Record] | None:
        """The next batch; None when it is time to keep the commit before another one comes."""
        if self._kept == self.watermark or not self._batches.empty():
            return await self._batches.get()
        over = asyncio.Event()
        alarm = self._clock.call_at(self._kept_at + COMMIT_MS, over.set)
        waiting = asyncio.ensure_future(over.wait())
        getting = asyncio.ensure_future(self._batches.get())
        try:
            await asyncio.wait({waiting, getting}, return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else None
        finally:
            alarm.cancel()
            waiting.cancel()
            getting.cancel()

    async def _keep_commit(self) -> None:
        """Keep the commit before it is told to Kafka, which may forget it one day."""
        now = self._clock.now()
        if self.watermark == self._kept or now < self._kept_at + COMMIT_MS:
            return
        value = b"%d" % self.watermark
        await self._append([Append(self._names.control, 0, self._commit_key, value)])
        self._kept, self._kept_at = self.watermark, now
        self._source.release(self._kept)

    async def _commands_of(self, records: Sequence[Record]) -> Sequence[Append]:
        while True:
            try:
                return await self._cancels.commands(records)
            except OSError as error:
                await self._pause(error)

    async def _append(self, records: Sequence[Append]) -> None:
        while records:
            try:
                await self._log.append(records)
                return
            except (AppendFailed, OSError) as error:
                await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        logger.warning("fan-out of %s: %s; trying again", self._event_type, error)
        over = asyncio.Event()
        self._clock.call_at(self._clock.now() + RETRY_PAUSE_MS, over.set)
        await over.wait()

    def _jobs_of(self, record: Record) -> list[Append]:
        try:
            return self._relay(record) or self._decode(record)
        except UndecodableRecord as error:
            return [self._letter(record, str(error))]
        except Exception as error:  # whatever one event is, it must not stop its partition
            secrets = self._secrets_in(record)  # which the error may tell
            place = (record.topic, record.partition, record.offset)
            logger.error("event %s/%d@%d\n%s", *place, redacted(trace_of(error), secrets))
            return [self._letter(record, redacted(f"{type(error).__name__}: {error}", secrets))]

    def _secrets_in(self, record: Record) -> frozenset[str]:
        """What one of its subscribers holds to be sensitive in an event."""
        types = {each.payload_type for each in self._registry.subscribers(self._event_type)}
        return frozenset().union(*(secrets_of(type_, record.value or b"") for type_ in types))

    def _relay(self, record: Record) -> list[Append] | None:
        """The jobs of an event that is as most of them are."""
        event = relayed(record)
        payload = record.value
        if event is None or payload is None:
            return None
        return [
            append_of(
                self._names.queue(definition.queue),
                definition,
                relay(
                    event,
                    id=fan_out_id(definition.name, event.source, event.id),
                    name=definition.name,
                    queue=definition.queue,
                    key=key_of(payload, event.id, definition),
                    payload=payload,
                ),
            )
            for definition in self._registry.subscribers(self._event_type)
        ]

    def _decode(self, record: Record) -> list[Append]:
        event = decode_event(record, self._event_type)
        return [
            append_of(
                self._names.queue(definition.queue), definition, encode(job_of(event, definition))
            )
            for definition in self._registry.subscribers(self._event_type)
        ]

    def _letter(self, record: Record, why: str) -> Append:
        now = self._clock.now()
        self._notify(
            LifecycleEvent(
                happening=Happening.UNDECODABLE,
                at=now,
                queue=self._event_type,
                name="",
                id="",
                error=why,
            )
        )
        return Append(self._names.dead, None, *undecodable_letter(record, "", why, now))
