"""What a broker answers an audit while it is not ready."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata

from streams.audit.kafka_topics import KafkaTopics
from streams.errors import BrokerUnavailable
from streams.wire.topics import TopicNames

PLACE = TopicPartition("jobs.q", 1)


class _Admin:
    """Knows of no coordinator for some questions."""

    def __init__(self, refusals: int) -> None:
        self._refusals = refusals

    async def list_consumer_group_offsets(self, group: str) -> dict[Any, Any]:
        self._refusals -= 1
        if self._refusals >= 0:
            raise GroupCoordinatorNotAvailableError(group)
        return {PLACE: OffsetAndMetadata(7, ""), TopicPartition("other", 0): None}


def _topics(refusals: int, timeout_ms: int) -> KafkaTopics:
    nothing: Any = None
    owners = {"q": "workers"}
    return KafkaTopics(nothing, _Admin(refusals), TopicNames(), {"q": 2}, owners, timeout_ms)


async def test_a_group_that_nobody_knows_yet_is_asked_for_again():
    assert await _topics(1, 10_000).committed("q") == {1: 7}


async def test_but_not_for_ever():
    with pytest.raises(BrokerUnavailable, match="the commits of group workers"):
        await _topics(1_000, 0).committed("q")


async def test_a_queue_that_no_group_has_claimed_has_no_commits():
    assert await _topics(0, 0).committed("of nobody") == {}
