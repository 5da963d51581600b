"""Single records, read from their offsets: what a listing has no room for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable
from streams.wire.closing import close_consumer
from streams.wire.envelope import Record

_TIMEOUT_S: Final = 5.0
_AT_ONCE: Final = 4


class Records:
    """A few consumers, each for one question at a time."""

    def __init__(self, bootstrap: str, kafka: Mapping[str, Any] | None = None) -> None:
        self._bootstrap = bootstrap
        self._kafka = kafka or {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._idle: list[AIOKafkaConsumer] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def get(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record there; None if it is gone.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
        """
        try:
            # Whoever waits for a turn is within the time as well: nobody hangs behind others.
            async with asyncio.timeout(_TIMEOUT_S), self._turns, self._consumer() as consumer:
                return await _get(consumer, TopicPartition(topic, partition), offset)
        except (TimeoutError, KafkaError, OSError) as error:
            raise BrokerUnavailable(
                f"Kafka at {self._bootstrap} did not answer within {_TIMEOUT_S:g} s; ask again"
            ) from error

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        is_new = not self._idle
        consumer = self._new() if is_new else self._idle.pop()
        try:
            if is_new:
                await consumer.start()
            yield consumer
        except BaseException:  # it may be in the middle of something
            closing = asyncio.create_task(close_consumer(consumer))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            raise
        self._idle.append(consumer)

    def _new(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=64 * 1024,  # one that is larger comes whole, alone
            **self._kafka,
        )

    async def close(self) -> None:
        """Disconnect."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(close_consumer, idle), *self._closing, return_exceptions=True)


async def _get(consumer: AIOKafkaConsumer, place: TopicPartition, offset: int) -> Record | None:
    consumer.assign([place])
    begin = (await consumer.beginning_offsets([place]))[place]
    end = (await consumer.end_offsets([place]))[place]
    if not begin <= offset < end:
        return None
    consumer.seek(place, offset)
    while await consumer.position(place) <= offset:
        found = await consumer.getmany(place, timeout_ms=200, max_records=1)
        for r in found.get(place, ()):
            if r.offset != offset:
                return None  # compacted away
            return Record(
                topic=r.topic,
                partition=r.partition,
                offset=r.offset,
                timestamp=r.timestamp,
                key=r.key,
                value=r.value,
                headers=tuple(r.headers),
            )
    return None
