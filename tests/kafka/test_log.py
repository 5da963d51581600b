"""What the log of a worker writes once it has been thrown away, or renewed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from streams.errors import AppendFailed, LeaseLost
from streams.kafka.log import KafkaLog
from streams.wire.admin import apply_topics, open_admin
from streams.wire.topics import CONFIGS, Role, TopicSpec
from streams.worker.ports import Append


@pytest.fixture
async def topic(kafka: str, prefix: str) -> str:
    name = f"{prefix}thrown"
    spec = TopicSpec(name=name, partitions=1, role=Role.EVENT, config=dict(CONFIGS[Role.EVENT]))
    async with open_admin(kafka) as admin:
        await apply_topics(admin, [spec])
    return name


@pytest.fixture
async def log(kafka: str) -> AsyncIterator[KafkaLog]:
    opened = KafkaLog(kafka, "thrown")
    await opened.start()
    yield opened
    await opened.stop()


async def test_a_renewed_log_writes(log: KafkaLog, topic: str) -> None:
    await log.renew()
    assert list(await log.append([Append(topic, 0, b"k", b"1")])) == [0]


async def test_a_log_that_was_thrown_away_writes_nothing_more(log: KafkaLog, topic: str) -> None:
    # given one that writes for the first time just as it is thrown away
    await log._throw_away()
    late = asyncio.create_task(log.append([Append(topic, 0, b"k", b"1")]))
    await asyncio.sleep(0)  # it has begun to connect
    await log.throw_away()
    # then neither that nor anything after it is written, whoever asks for another producer
    with pytest.raises(LeaseLost):
        await late
    await log.renew()
    with pytest.raises(LeaseLost):
        await log.append([Append(topic, 0, b"k", b"2")])
    assert await log.end(topic, 0) == 0


async def test_many_who_append_to_one_partition_have_their_turns(log: KafkaLog, topic: str) -> None:
    # Each waits for all before it: their waits must not be counted more than once.
    async def append(number: int) -> int:
        (offset,) = await log.append([Append(topic, 0, b"k", b"%d" % number)])
        return offset

    offsets = await asyncio.gather(*map(append, range(500)))
    assert offsets == list(range(500))


async def test_nobody_waits_for_a_turn_without_end(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.append([Append(topic, 0, b"k", b"1")])
    monkeypatch.setattr("streams.kafka.log.TURN_WITHIN", 0.1)
    async with log._turn_of((topic, 0)):  # as somebody whom the broker does not answer
        with pytest.raises(AppendFailed, match=r"0\.1 s"):
            await log.append([Append(topic, 0, b"k", b"2")])
    assert list(await log.append([Append(topic, 0, b"k", b"3")])) == [1]


async def test_who_is_interrupted_takes_nobody_along(log: KafkaLog, topic: str) -> None:
    await log.append([Append(topic, 0, b"k", b"0")])
    async with log._turn_of((topic, 0)):
        # given three that wait together
        first, second, third = (
            asyncio.create_task(log.append([Append(topic, 0, b"k", b"%d" % number)]))
            for number in (1, 2, 3)
        )
        await asyncio.sleep(0.05)
        # when the one who came first and another one are interrupted
        first.cancel()
        third.cancel()
    # then the other one's is written
    (offset,) = await second
    found = [record async for batch in log.read(topic, 0, 0) for record in batch]
    assert found[offset].value == b"2"
    assert first.cancelled() and third.cancelled()


async def test_what_does_not_fit_into_what_gathers_keeps_its_order(
    log: KafkaLog, topic: str
) -> None:
    await log.append([Append(topic, 0, b"k", b"0")])
    large = b"x" * 100_000
    async with log._turn_of((topic, 0)):
        appends = [
            asyncio.create_task(
                log.append([Append(topic, 0, b"%d" % who, large) for _ in range(4)])
            )
            for who in range(3)
        ]
        await asyncio.sleep(0.05)
    offsets = await asyncio.gather(*appends)
    found = [record async for batch in log.read(topic, 0, 0) for record in batch]
    for who, places in enumerate(offsets):
        assert list(places) == sorted(places)
        assert {found[place].key for place in places} == {b"%d" % who}
    assert len(found) == 13
