"""What a projection asks of Kafka: which topics there are, and a consumer that is placed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.projection.progress import Partition
from streams.wire.admin import open_admin
from streams.wire.lookup import look_up
from streams.wire.reader import missing

POLL_MS: Final = 100
ANSWER_S: Final = 10.0
# What was fetched and not read yet is in memory: as much of each partition, and at once.
_PARTITION_BYTES: Final = 512 * 1024
_FETCH_BYTES: Final = 16 * 1024 * 1024


async def look(
    bootstrap: str, topics: Iterable[str], kafka: Mapping[str, Any]
) -> tuple[str, dict[str, int]]:
    """The id of a cluster, and how many partitions those of the topics have that it has.

    Raises:
        BrokerUnavailable: no broker answered.
        TopicMismatch: it has none of them.
    """
    wanted = list(topics)
    async with open_admin(bootstrap, timeout_ms=int(ANSWER_S * 1000), kafka=kafka) as admin:
        cluster = await admin.describe_cluster()
        there = await look_up(admin, wanted)
    found = {topic: len(there[topic]) for topic in wanted if topic in there}
    if not found:
        raise missing(wanted[0])
    return str(cluster.get("cluster_id")), found


def make_consumer(bootstrap: str, kafka: Mapping[str, Any]) -> AIOKafkaConsumer:
    """A consumer without a group; where it is out of range it says so, and goes nowhere."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_wait_ms=POLL_MS,
        fetch_max_bytes=_FETCH_BYTES,
        max_partition_fetch_bytes=_PARTITION_BYTES,
        request_timeout_ms=int(ANSWER_S * 1000),
        **kafka,
    )


async def ends_of(
    consumer: AIOKafkaConsumer, partitions: Iterable[Partition]
) -> dict[Partition, int]:
    """Where partitions end now."""
    asked = [TopicPartition(*of) for of in partitions]
    ends = await consumer.end_offsets(asked) if asked else {}
    return {(place.topic, place.partition): end for place, end in ends.items()}


async def begins_of(
    consumer: AIOKafkaConsumer, partitions: Iterable[Partition]
) -> dict[Partition, int]:
    """Where partitions begin now."""
    begins = await consumer.beginning_offsets([TopicPartition(*of) for of in partitions])
    return {(place.topic, place.partition): begin for place, begin in begins.items()}
