"""The log on Kafka: an idempotent producer of our own, and bounded reads without a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.wire.envelope import Record
from streams.wire.partition import partition_of
from streams.wire.producer import open_producer
from streams.worker.ports import Append


class KafkaLog:
    """Appends and reads; open it with `start`, and give it back with `stop`."""

    def __init__(
        self, bootstrap: str, client_id: str, kafka: Mapping[str, Any] | None = None
    ) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._kafka = dict(kafka or {})
        self._producer: AIOKafkaProducer | None = None
        self._reader: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect."""
        self._producer = await open_producer(self._bootstrap, self._client_id, **self._kafka)
        self._reader = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=f"{self._client_id}-ends",
            enable_auto_commit=False,
            **self._kafka,
        )
        await self._reader.start()

    async def stop(self) -> None:
        """Disconnect; what was appended and awaited is durable."""
        if self._producer is not None:
            await self._producer.stop()
        if self._reader is not None:
            await self._reader.stop()

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Write records; returns their offsets once all in-sync replicas have them."""
        assert self._producer is not None
        sent = []
        for record in records:
            partition = record.partition
            if partition is None and record.key is not None:
                partition = partition_of(record.key, await self._partitions(record.topic))
            sent.append(
                await self._producer.send(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    partition=partition,
                    headers=list(record.headers),
                )
            )
        return [metadata.offset for metadata in await asyncio.gather(*sent)]

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        """Records from `start` up to the end as it is now."""
        end = await self.end(topic, partition)
        if start >= end:
            return
        place = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=f"{self._client_id}-recovery",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            **self._kafka,
        )
        await consumer.start()
        try:
            consumer.assign([place])
            consumer.seek(place, start)
            while await consumer.position(place) < end:
                for batch in (await consumer.getmany(timeout_ms=1000)).values():
                    yield [to_record(record) for record in batch if record.offset < end]
        finally:
            await consumer.stop()

    async def end(self, topic: str, partition: int) -> int:
        """The offset of the next record."""
        assert self._reader is not None
        place = TopicPartition(topic, partition)
        ends = await self._reader.end_offsets([place])
        return int(ends[place])

    async def _partitions(self, topic: str) -> int:
        assert self._producer is not None
        return len(await self._producer.partitions_for(topic))


def to_record(record: Any) -> Record:
    """A record of ours from one of aiokafka's."""
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        record.headers,
    )
