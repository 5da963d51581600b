"""Topics that were missing: how it is seen that they have come."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka.protocol.metadata import MetadataRequest_v5
from told import NAMES, QUEUES

from streams.projection.feed import Feed


class Connection:
    """A consumer's, to a broker that has some topics; notes what is asked for."""

    def __init__(self, *there: str) -> None:
        self.there = there
        self.asked: list[Any] = []
        self._client = self

    def get_random_node(self) -> int:
        return 1

    async def send(self, node: int, request: Any) -> Any:
        sent = request.build(MetadataRequest_v5)
        self.asked.append((sent.get_item("topics"), sent.get_item("allow_auto_topic_creation")))
        topics = [
            {"topic": name, "error_code": 0 if name in self.there else 3, "partitions": []}
            for name in sent.get_item("topics")
        ]
        return SimpleNamespace(to_object=lambda: {"topics": topics})


async def test_they_alone_are_asked_for_and_not_made(tmp_path: Path) -> None:
    feed = Feed("nowhere", NAMES, QUEUES, tmp_path / "p.sqlite")
    nothing, one = Connection("others"), Connection("others", "b")
    assert not await feed._has_come(nothing)
    assert nothing.asked == []  # none is missing
    feed.missing = ("b", "a")
    assert not await feed._has_come(nothing)
    assert await feed._has_come(one)
    assert nothing.asked == one.asked == [(["a", "b"], False)]
