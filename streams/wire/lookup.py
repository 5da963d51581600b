"""Which of some topics there are, asked by name: a cluster may have thousands of others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.admin import AIOKafkaAdminClient


async def look_up(
    asker: AIOKafkaAdminClient | AIOKafkaConsumer, topics: Collection[str]
) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Those that exist, with their partitions as the broker describes them; creates none."""
    if not topics:
        return {}
    from aiokafka.protocol.metadata import MetadataRequest

    # Not `describe_topics`, whose question makes topics where the broker may create them; and
    # consumers can ask for all topics alone.
    client = asker._client
    answer = await client.send(
        client.get_random_node(),
        MetadataRequest(sorted(set(topics)), allow_auto_topic_creation=False),
    )
    found = answer.to_object()["topics"]
    return {topic["topic"]: topic["partitions"] for topic in found if topic["error_code"] == 0}
