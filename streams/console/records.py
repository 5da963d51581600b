"""Single records, read from their offsets: what a listing has no room for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable
from streams.wire.envelope import Record

_TIMEOUT_S: Final = 5.0


class Records:
    """One consumer, for one question at a time."""

    def __init__(self, bootstrap: str, kafka: Mapping[str, Any] | None = None) -> None:
        self._bootstrap = bootstrap
        self._kafka = kafka or {}
        self._consumer: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()

    async def get(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record there; None if it is gone.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
        """
        async with self._asking:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    return await self._get(TopicPartition(topic, partition), offset)
            except (TimeoutError, KafkaError, OSError) as error:
                await self._drop()
                raise BrokerUnavailable(
                    f"Kafka at {self._bootstrap} did not answer within {_TIMEOUT_S:g} s; ask again"
                ) from error

    async def _get(self, place: TopicPartition, offset: int) -> Record | None:
        consumer = self._consumer
        if consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                fetch_max_wait_ms=50,
                max_partition_fetch_bytes=64 * 1024,  # one that is larger comes whole, alone
                **self._kafka,
            )
            await consumer.start()
            self._consumer = consumer
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

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                async with asyncio.timeout(1.0):
                    await consumer.stop()
            except Exception:  # it is given up in any case
                return

    async def close(self) -> None:
        """Disconnect."""
        async with self._asking:
            await self._drop()
