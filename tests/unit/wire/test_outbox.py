"""What callers send at the same time: whole batches, in order, each told what became of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from streams.errors import StreamsError
from streams.wire.outbox import SPARE, Outbox, Sending

PLACE = ("jobs.default", 0)
ROOM = 3  # records in a batch


@dataclass
class Builder:
    """A batch with room for a few records."""

    values: list[bytes] = field(default_factory=list)

    def append(self, *, timestamp: int | None, key: bytes, value: bytes, headers: Any) -> Any:
        if len(self.values) == ROOM:
            return None
        self.values.append(value)
        return self.values


@dataclass
class Producer:
    """Takes one batch of a partition at a time, as aiokafka does, and answers when told to."""

    sent: list[tuple[tuple[str, int], list[bytes]]] = field(default_factory=list)
    answers: list[asyncio.Future[None]] = field(default_factory=list)
    room: dict[tuple[str, int], asyncio.Event] = field(default_factory=dict)

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, batch: Builder, topic: str, *, partition: int) -> Any:
        place = (topic, partition)
        if place in self.room:
            await self.room[place].wait()
        self.sent.append((place, batch.values))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


async def steps() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def put(outbox: Outbox, values: str, place: tuple[str, int] = PLACE) -> Sending:
    sending = Sending(len(values))
    for index, value in enumerate(values):
        outbox.put(place, sending, index, b"k", value.encode(), [])
    return sending


@pytest.fixture
async def producer() -> Producer:
    return Producer()


@pytest.fixture
async def outbox(producer: Producer) -> Outbox:
    async def the_producer() -> Any:
        return producer

    return Outbox(the_producer)


async def test_callers_of_one_moment_share_a_batch_and_are_told_by_its_answer(
    outbox: Outbox, producer: Producer
) -> None:
    one, two = put(outbox, "a"), put(outbox, "b")
    await steps()
    assert producer.sent == [(PLACE, [b"a", b"b"])]
    assert not one.over.done()
    producer.answers[0].set_result(None)
    await asyncio.gather(one.over, two.over)


async def test_what_does_not_fit_into_a_batch_follows_in_order(
    outbox: Outbox, producer: Producer
) -> None:
    one, two = put(outbox, "abcd"), put(outbox, "ef")
    await steps()
    assert [values for _, values in producer.sent] == [[b"a", b"b", b"c"], [b"d", b"e", b"f"]]
    producer.answers[0].set_result(None)
    await steps()
    assert one.first_open == 3
    assert not one.over.done()
    producer.answers[1].set_result(None)
    await asyncio.gather(one.over, two.over)


async def test_a_partition_that_is_slow_holds_no_other_up(
    outbox: Outbox, producer: Producer
) -> None:
    producer.room[PLACE] = asyncio.Event()
    put(outbox, "a")
    put(outbox, "b", ("jobs.default", 1))
    await steps()
    assert producer.sent == [(("jobs.default", 1), [b"b"])]
    producer.room[PLACE].set()
    await steps()
    assert producer.sent[1] == (PLACE, [b"a"])


async def test_a_refusal_reaches_those_of_its_batch_alone(
    outbox: Outbox, producer: Producer
) -> None:
    one, two = put(outbox, "abcd"), put(outbox, "e")
    await steps()
    producer.answers[0].set_exception(MessageSizeTooLargeError("too large"))
    producer.answers[1].set_result(None)
    await two.over
    with pytest.raises(MessageSizeTooLargeError):
        await one.over
    assert one.refused == 0


async def test_what_nobody_waits_for_any_more_is_not_sent(
    outbox: Outbox, producer: Producer
) -> None:
    producer.room[PLACE] = asyncio.Event()
    put(outbox, "abc")
    await steps()
    late, other = put(outbox, "d"), put(outbox, "e")
    late.give_up()
    producer.room[PLACE].set()
    await steps()
    assert [values for _, values in producer.sent] == [[b"a", b"b", b"c"], [b"e"]]
    producer.answers[1].set_result(None)
    await other.over


async def test_without_a_producer_all_are_told_and_the_next_one_is_sent(
    producer: Producer,
) -> None:
    ways: list[Any] = [StreamsError("not open"), producer]

    async def next_way() -> Any:
        way = ways.pop(0)
        if isinstance(way, Exception):
            raise way
        return way

    outbox = Outbox(next_way)
    one, two = put(outbox, "ab"), put(outbox, "c")
    for sending in (one, two):
        with pytest.raises(StreamsError):
            await sending.over
    put(outbox, "d")
    await steps()
    assert producer.sent == [(PLACE, [b"d"])]


async def test_a_failure_after_a_batch_was_handed_over_says_nothing_of_that_batch(
    producer: Producer,
) -> None:
    ways: list[Any] = [producer, KafkaError("broken")]

    async def next_way() -> Any:
        way = ways.pop(0)
        if isinstance(way, Exception):
            raise way
        return way

    outbox = Outbox(next_way)
    one, two = put(outbox, "abc"), put(outbox, "d")
    await steps()
    with pytest.raises(KafkaError):
        await two.over
    producer.answers[0].set_result(None)
    await one.over
    await outbox.flush()


async def test_each_is_bounded_by_a_time_of_its_own(outbox: Outbox, producer: Producer) -> None:
    now = asyncio.get_running_loop().time()
    late, later, soon = put(outbox, "ab"), put(outbox, "c"), put(outbox, "d")
    outbox.bound(later, now + 3_600)
    outbox.bound(late, now + 0.02)
    outbox.bound(soon, now + 0.01)
    for sending in (soon, late):
        with pytest.raises(TimeoutError):
            await sending.over
    assert asyncio.get_running_loop().time() >= now + 0.02
    assert not later.over.done()


async def test_what_is_over_is_not_kept_until_its_time(outbox: Outbox, producer: Producer) -> None:
    until = asyncio.get_running_loop().time() + 3_600
    for _ in range(5 * SPARE):
        sending = put(outbox, "a")
        outbox.bound(sending, until)
        sending.give_up()
    assert len(outbox._bounded) <= SPARE
