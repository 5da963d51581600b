"""Commands of partitions that are opened again while some of them are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from streams.jobs.identity import JobKey
from streams.kafka.commands import CommandReader
from streams.wire.commands import Command, encode_command
from streams.wire.topics import TopicNames
from streams.worker.engine import Engine

TOPIC = "jobs.default.commands"


def cancels(*offsets: int) -> list[Any]:
    found = []
    for offset in offsets:
        job = JobKey(name="charge", ordering_key=None, id=f"j{offset}")
        key, value = encode_command(Command(kind="cancel", job=job))
        found.append(SimpleNamespace(offset=offset, key=key, value=value))
    return found


class FakeConsumer:
    """Gives what a test says, and then nothing."""

    def __init__(self) -> None:
        self.to_come: asyncio.Queue[dict[TopicPartition, list[Any]]] = asyncio.Queue()
        self.sought: dict[TopicPartition, int] = {}

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self.sought.clear()

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.sought[place] = offset

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        return await self.to_come.get()


async def test_what_was_fetched_before_a_partition_was_opened_again_is_not_taken_for_its_next() -> (
    None
):
    # given commands of two partitions, fetched together, and the first one's is handed over slowly
    told: list[tuple[int, int]] = []
    is_slow, goes_on = asyncio.Event(), asyncio.Event()

    async def deliver(topic: str, partition: int, commands: Sequence[tuple[Command, int]]) -> None:
        if partition == 0:
            is_slow.set()
            await goes_on.wait()
        told.extend((partition, offset) for _, offset in commands)

    def failed(error: BaseException) -> None:
        raise AssertionError from error

    consumer = FakeConsumer()
    reader = CommandReader("nowhere:1", "w", deliver, {}, failed)
    reader._consumer = consumer
    reader.add(TOPIC, 0, 0)
    reader.add(TOPIC, 1, 5)
    reading = asyncio.create_task(reader._run())
    consumer.to_come.put_nowait({TopicPartition(TOPIC, 1): cancels(5, 6, 7)})
    consumer.to_come.put_nowait(
        {TopicPartition(TOPIC, 0): cancels(0), TopicPartition(TOPIC, 1): cancels(8)}
    )
    await is_slow.wait()

    # when the other one is opened again meanwhile, from what was obeyed of it
    reader.remove(TOPIC, 1)
    reader.add(TOPIC, 1, 5)
    told.clear()
    goes_on.set()
    consumer.to_come.put_nowait({TopicPartition(TOPIC, 1): cancels(5, 6, 7, 8)})
    async with asyncio.timeout(5):
        while (1, 8) not in told or not consumer.to_come.empty():
            await asyncio.sleep(0)

    # then it is given all of them, in their order
    assert [offset for partition, offset in told if partition == 1] == [5, 6, 7, 8]
    reading.cancel()


class FakePipeline:
    """Notes what it is commanded."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def command(self, commands: Sequence[tuple[Command, int]], queue_end: int) -> None:
        self.told += [offset for _, offset in commands]


async def test_commands_of_a_partition_are_not_given_to_whoever_opens_it_meanwhile() -> None:
    # given commands that wait for where their queue ends
    asked, answered = asyncio.Event(), asyncio.Event()

    async def end(topic: str, partition: int) -> int:
        asked.set()
        await answered.wait()
        return 0

    before, after = FakePipeline(), FakePipeline()
    engine: Any = SimpleNamespace(
        queues={("default", 0): before},
        options=SimpleNamespace(names=TopicNames("")),
        _log=SimpleNamespace(end=end),
    )
    command = Command(kind="cancel", job=JobKey(name="charge", ordering_key=None, id="j"))
    commanding = asyncio.create_task(Engine.command(engine, "default", 0, [(command, 8)]))
    await asked.wait()
    # when the partition is opened again before that is known
    engine.queues["default", 0] = after
    answered.set()
    await commanding
    # then nobody has them: they are read again, with those before them
    assert (before.told, after.told) == ([], [])
