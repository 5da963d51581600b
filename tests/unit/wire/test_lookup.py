"""Topics that are looked up by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka.protocol.metadata import MetadataRequest, MetadataRequest_v5

from streams.wire.lookup import look_up

LEADERLESS = 5


class Broker:
    """Answers for the topics that it was asked for, and makes them unless it is told not to."""

    def __init__(self, **partitions: int) -> None:
        self.partitions = partitions
        self.asked: list[str] = []
        self._client = self

    def get_random_node(self) -> int:
        return 1

    async def send(self, node: int, request: MetadataRequest) -> Any:
        sent = request.build(MetadataRequest_v5)
        wanted = sent.get_item("topics")
        self.asked += self.partitions if wanted is None else wanted
        if sent.get_item("allow_auto_topic_creation"):
            self.partitions |= {name: 1 for name in self.asked if name not in self.partitions}
        topics = [
            {
                "topic": name,
                "error_code": 0 if name in self.partitions else LEADERLESS,
                "partitions": [{"leader": 1}] * self.partitions.get(name, 0),
            }
            for name in self.asked
        ]
        return SimpleNamespace(to_object=lambda: {"topics": topics})


async def test_no_topic_is_asked_for_but_those_that_are_named() -> None:
    broker = Broker(**{f"other-{n}": 1 for n in range(5)}, jobs=2)
    found = await look_up(broker, ["jobs"])  # type: ignore[arg-type]
    assert {name: len(partitions) for name, partitions in found.items()} == {"jobs": 2}
    assert broker.asked == ["jobs"]


async def test_a_topic_that_is_not_there_is_left_out_and_not_made() -> None:
    broker = Broker(jobs=1)
    assert set(await look_up(broker, ["jobs", "missing"])) == {"jobs"}  # type: ignore[arg-type]
    assert set(broker.partitions) == {"jobs"}


async def test_of_no_names_nothing_is_asked() -> None:
    broker = Broker(jobs=1)
    assert await look_up(broker, []) == {}  # type: ignore[arg-type]
    assert broker.asked == []
