"""What the consumer commits, whoever asks it to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from faust.types import TP

from streams.jobs.registry import Registry
from streams.kafka.transport import BatchConsumer
from streams.kafka.worker import JobsApp
from streams.settings import Settings

TP0 = TP("jobs.default", 0)


class Broker:
    """Takes commits when it is told to; the last one stands."""

    def __init__(self) -> None:
        self.committed: dict[TP, int] = {}
        self.asked = False
        self.accepts = True
        self.answers = True
        self.steps = iter([10])  # of the loop, until it takes each commit

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.asked = True
        if not self.answers:
            await asyncio.Event().wait()
        for _ in range(next(self.steps, 1)):
            await asyncio.sleep(0)
        if self.accepts:
            self.committed.update(offsets)
        return self.accepts


@pytest.fixture
async def broker() -> Broker:
    return Broker()


@pytest.fixture
async def watermarks() -> dict[TP, int]:
    return {}


@pytest.fixture
async def consumer(broker: Broker, watermarks: dict[TP, int], monkeypatch: Any) -> BatchConsumer:
    app = JobsApp(Settings(), Registry([], ["default"]))
    consumer: BatchConsumer = app.consumer
    consumer.watched = lambda: list(watermarks)
    consumer.watermark = watermarks.get
    monkeypatch.setattr(consumer, "assignment", lambda: set(watermarks))
    monkeypatch.setattr(consumer, "_thread", broker)
    monkeypatch.setattr(app.producer, "flush", slow)  # Faust does so before it commits
    return consumer


async def slow() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_a_commit_that_began_before_another_does_not_end_after_it(
    consumer: BatchConsumer, broker: Broker, watermarks: dict[TP, int]
) -> None:
    watermarks[TP0] = 42
    periodic = asyncio.create_task(consumer.commit())
    await asyncio.sleep(0)  # it has begun
    watermarks[TP0] = 43
    await consumer.commit_watermarks()
    await periodic
    assert broker.committed == {TP0: 43}


async def test_a_commit_that_takes_long_holds_the_next_one_back(
    consumer: BatchConsumer, broker: Broker, watermarks: dict[TP, int]
) -> None:
    watermarks[TP0] = 42
    slow = asyncio.create_task(consumer.commit_watermarks())
    while not broker.asked:
        await asyncio.sleep(0)
    watermarks[TP0] = 43
    await consumer.commit_watermarks()
    await slow
    assert broker.committed == {TP0: 43}


async def test_what_the_broker_did_not_take_is_committed_again(
    consumer: BatchConsumer, broker: Broker, watermarks: dict[TP, int]
) -> None:
    watermarks[TP0] = 42
    broker.accepts = False
    await consumer.commit()
    broker.accepts = True
    await consumer.commit()
    assert broker.committed == {TP0: 42}


async def test_nothing_is_committed_twice_or_backwards(
    consumer: BatchConsumer, broker: Broker, watermarks: dict[TP, int]
) -> None:
    watermarks[TP0] = 42
    await consumer.commit()
    for offset in (42, 41):
        broker.asked = False
        watermarks[TP0] = offset
        await consumer.commit()
        assert not broker.asked
    assert broker.committed == {TP0: 42}


async def test_a_consumer_that_ends_waits_for_no_commit(
    consumer: BatchConsumer, broker: Broker, watermarks: dict[TP, int]
) -> None:
    watermarks[TP0] = 42
    broker.answers = False  # its thread takes no calls any more
    commit = asyncio.create_task(consumer.commit_watermarks())
    while not broker.asked:
        await asyncio.sleep(0)
    consumer._stopped.set()
    async with asyncio.timeout(5):
        await commit
    broker.answers, broker.asked = True, False
    await consumer.commit_watermarks()
    assert broker.asked  # what was not answered does not count as committed
