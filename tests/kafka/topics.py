"""The topics of one test, made as a worker makes them, and read with plain aiokafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streams.wire.admin import apply_topics, open_admin
from streams.wire.topics import TopicNames, specs

QUEUES = ("critical", "default", "bulk")


async def create_topics(
    kafka: str,
    prefix: str,
    partitions: int = 2,
    *,
    queues: Iterable[str] = QUEUES,
    events: Iterable[str] = (),
) -> None:
    """All topics, so that jobs can be enqueued before a worker runs."""
    async with open_admin(kafka) as admin:
        await apply_topics(admin, specs(TopicNames(prefix), queues, events, partitions))


async def read_all(kafka: str, topic: str, partitions: int = 2) -> list[ConsumerRecord]:
    """Every record of a topic up to its end."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(places)
        records: list[ConsumerRecord] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


async def states_of(
    kafka: str, topic: str, partitions: int = 2
) -> Counter[tuple[bytes, str, int, int]]:
    """How many records there are for (key, state, generation, run); tombstones left out."""
    found: Counter[tuple[bytes, str, int, int]] = Counter()
    for record in await read_all(kafka, topic, partitions):
        if record.value is not None and not record.key.startswith(b"#"):
            head = orjson.loads(record.value.partition(b"\n")[0])
            found[(record.key, head["state"], head["generation"], head["run"])] += 1
    return found
