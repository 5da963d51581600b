"""Reads one partition again and again from where it was, with a consumer that stays open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.wire.closing import close_consumer

WAIT_MS = 1_000


class Tail:
    """For topics that are read every few moments: opening a consumer takes longer than reading."""

    def __init__(self, place: TopicPartition, open_consumer: Callable[[], AIOKafkaConsumer]):
        self._place = place
        self._open_consumer = open_consumer
        self._consumer: AIOKafkaConsumer | None = None
        self._reading = asyncio.Lock()

    async def read(self, start: int, end: int) -> AsyncIterator[Sequence[Any]]:
        """What there is from `start` up to `end`, as aiokafka gives it; one reads at a time."""
        async with self._reading:
            try:
                consumer = await self._opened(start)
                while await consumer.position(self._place) < end:
                    for batch in (await consumer.getmany(timeout_ms=WAIT_MS)).values():
                        yield batch
            except BaseException:
                # What was fetched may be gone with whoever was to have it.
                await self._close()
                raise

    async def stop(self) -> None:
        """Disconnect."""
        async with self._reading:
            await self._close()

    async def _opened(self, start: int) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = self._open_consumer()  # also one that does not start is closed
            await self._consumer.start()
            self._consumer.assign([self._place])
            self._consumer.seek(self._place, start)
        elif await self._consumer.position(self._place) != start:
            self._consumer.seek(self._place, start)
        return self._consumer

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)
