"""What the state topics say about one job, read with a consumer of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable, UndecodableRecord
from streams.jobs.states import State
from streams.wire.closing import close_consumer
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger, decode_open

_MARGIN_MS: Final = 60_000  # clocks of sender and broker differ
# A repeated id is dropped for this long after its job ended, so the answer may be that old; this
# is the default, and a job that is dead or waits may be older than any limit.
_REPEATED_MS: Final = 24 * 60 * 60 * 1000
_POLL_MS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The latest of each kind of record; None where there is none."""

    entry: OpenEntry | None = None
    ledger: LedgerRecord | None = None


def answers(ledger: LedgerRecord, time: int) -> bool:
    """Whether this is what became of a job that was sent at `time`, and not of an earlier run.

    What was sent again within `unique_for` was dropped, and the earlier run is its answer; later
    than that it runs, and has a record to come. The worker decides by the same rule.
    """
    if time <= ledger.time:
        return True
    # After one that was replaced a later one is to come.
    return time < ledger.ended + ledger.unique_for_ms and not ledger.is_replaced


def precedes(entry: OpenEntry, time: int, replaces_dead: bool) -> bool:
    """Whether this is a dead job of which one that was sent at `time` takes the place."""
    return replaces_dead and entry.state is State.DEAD and entry.time < time


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the state of one job is."""

    retry: str
    ledger: str
    partition: int
    key: bytes
    since: int  # of the sending, milliseconds since the epoch
    repeatable: bool  # the id was given by its sender
    replaces_dead: bool = False  # a dead one is not it


async def read_story(
    bootstrap: str | list[str],
    place: Place,
    *,
    follow: bool,
    timeout_ms: int,
    kafka: Mapping[str, Any],
) -> AsyncGenerator[Story, None]:
    """The job's story up to now, then, if `follow`, each change as it happens.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=_POLL_MS,
        request_timeout_ms=max(1_000, timeout_ms),
        **kafka,
    )
    reader = _Reader(consumer, place, bootstrap, timeout_ms)
    try:
        async with _answering(bootstrap, timeout_ms):
            await consumer.start()
        await reader.read_to_end(place.since - _MARGIN_MS)
        for since in (place.since - _MARGIN_MS - _REPEATED_MS, 0) if place.repeatable else ():
            if not reader.found:
                await reader.read_to_end(since)
        yield reader.story
        while follow:
            if await reader.read():
                yield reader.story
    finally:
        await close_consumer(consumer)


@asynccontextmanager
async def _answering(bootstrap: str | list[str], timeout_ms: int) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            yield
    except (TimeoutError, KafkaError, OSError) as error:
        raise BrokerUnavailable(
            f"Kafka at {bootstrap} did not say what became of the job within {timeout_ms} ms: "
            f"{str(error) or 'no answer'}. The job itself is not affected; ask again"
        ) from error


class _Reader:
    def __init__(
        self, consumer: AIOKafkaConsumer, place: Place, bootstrap: str | list[str], timeout_ms: int
    ) -> None:
        self.story = Story()
        self.found = False  # anything that speaks of this id
        self.retry = TopicPartition(place.retry, place.partition)
        self.ledger = TopicPartition(place.ledger, place.partition)
        self._consumer = consumer
        self._key = place.key
        self._time = place.since
        self._replaces_dead = place.replaces_dead
        self._bootstrap = bootstrap
        self._timeout_ms = timeout_ms

    async def read_to_end(self, since: int) -> None:
        """Everything from `since` to the end as it is now."""
        consumer = self._consumer
        async with self._answering():
            # The end of the ledger is asked last: it is written before the entry is removed.
            ends = dict(await consumer.end_offsets([self.retry]))
            ends.update(await consumer.end_offsets([self.ledger]))
            starts = await consumer.offsets_for_times({tp: max(0, since) for tp in ends})
        # Without an await between the two: a new assignment is otherwise set to the end, and that
        # may come after our seek.
        if not consumer.assignment():
            consumer.assign(list(ends))
        for tp, end in ends.items():
            found = starts[tp]
            consumer.seek(tp, end if found is None else found.offset)
        for tp, end in ends.items():
            while (before := await consumer.position(tp)) < end:
                # However long the way, each part of it has to come in time.
                async with self._answering():
                    while await consumer.position(tp) == before:
                        await self.read()

    def _answering(self) -> AbstractAsyncContextManager[None]:
        return _answering(self._bootstrap, self._timeout_ms)

    async def read(self) -> bool:
        """Read on; whether something about the job was there."""
        news = False
        for tp, records in (await self._consumer.getmany(timeout_ms=_POLL_MS)).items():
            for record in records:
                if record.key == self._key:
                    self._take(tp, record.value)
                    self.found = self.found or record.value is not None
                    news = True
        return news

    def _take(self, tp: TopicPartition, value: bytes | None) -> None:
        with suppress(UndecodableRecord):  # of a later version: wait for what can be read
            if tp == self.ledger:
                ledger = None if value is None else decode_ledger(self._key, value)
                if ledger is None or not answers(ledger, self._time):
                    ledger = self.story.ledger
                self.story = Story(entry=self.story.entry, ledger=ledger)
            else:
                entry = None if value is None else decode_open(self._key, value)
                if entry is not None and precedes(entry, self._time, self._replaces_dead):
                    entry = None
                self.story = Story(entry=entry, ledger=self.story.ledger)
