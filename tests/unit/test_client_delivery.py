"""One question of a topic's partitions for all who ask at once, as long as somebody waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.client_delivery import Delivery
from streams.errors import TopicMismatch
from streams.wire import producer as wire


@pytest.fixture
def delivery() -> Delivery:
    return Delivery("nowhere:1", "test", timeout_ms=1_000, kafka={})


async def test_many_who_ask_at_once_ask_once(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = asyncio.Event()

    async def ask(producer: Any, topic: str) -> int:
        asked.append(topic)
        await answer.wait()
        if topic == "missing":
            raise TopicMismatch("no such topic")
        return 8

    monkeypatch.setattr(wire, "partitions_for", ask)
    producer: Any = object()
    there = [asyncio.create_task(delivery._look_up(producer, "there")) for _ in range(100)]
    missing = [asyncio.create_task(delivery._look_up(producer, "missing")) for _ in range(100)]
    await asyncio.sleep(0)
    there[0].cancel()  # the first to give up takes nothing from the others
    await asyncio.sleep(0)
    answer.set()
    assert await asyncio.gather(*there[1:]) == [8] * 99
    refusals = await asyncio.gather(*missing, return_exceptions=True)
    assert all(isinstance(refusal, TopicMismatch) for refusal in refusals)
    assert sorted(asked) == ["missing", "there"]
    assert not delivery._asked


async def test_what_nobody_waits_for_is_asked_no_more(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def ask(producer: Any, topic: str) -> int:
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    monkeypatch.setattr(wire, "partitions_for", ask)
    first, second = object(), object()
    waiting = [asyncio.create_task(delivery._look_up(first, "there")) for _ in range(3)]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    # another producer is asked anew: the first one may be broken
    other = asyncio.create_task(delivery._look_up(second, "there"))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert len(delivery._asked) == 2
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await ended.wait()
    assert len(delivery._asked) == 1
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert not delivery._asked
