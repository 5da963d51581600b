"""Many jobs cancelled together: what is counted, and what is on record of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from small_console import SmallConsole

from streams.console.bulk import Bulk, Bulks
from streams.console.cancelling import Cancellation
from streams.projection.filter import Filter
from streams.testing.loop import VirtualLoop
from streams.testing.memory import MemoryClock
from streams.wire.actions import OperatorAction, decode_action

JOBS = 20


@pytest.fixture
def console(tmp_path: Path) -> SmallConsole:
    """Has some jobs that wait."""
    console = SmallConsole(tmp_path)
    for number in range(JOBS):
        console.topics.sent(str(number))
    console.read()
    console.bulks = Bulks(console)
    return console


def in_virtual_time(steps: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """Run it; how many seconds it took."""
    clock = MemoryClock()
    loop: Any = VirtualLoop(clock)  # type: ignore[abstract]
    began = clock.now()
    ended: list[int] = []
    task = loop.create_task(steps())
    task.add_done_callback(lambda _: ended.append(clock.now()))
    loop.run()
    task.result()
    return (ended[0] - began) / 1000


def start(console: SmallConsole) -> Bulk:
    return console.bulks.start(Cancellation(filter=Filter(), on="--all"), "ada")


def recorded(console: SmallConsole) -> list[OperatorAction]:
    return [
        decode_action(value or b"")
        for topic, _, value in console.lists.appended
        if topic == console.names.actions
    ]


def is_end(topic: str, value: bytes | None) -> bool:
    return topic.endswith("actions") and decode_action(value or b"").ended


def commands(console: SmallConsole) -> int:
    return sum(topic != console.names.actions for topic, _, _ in console.lists.appended)


def test_what_was_asked_is_counted_when_kafka_refuses_some(console: SmallConsole) -> None:
    # given a Kafka that refuses some commands while others are on their way
    sent = iter(range(JOBS))
    console.lists.takes_s = lambda topic, _: next(sent) if topic.endswith("commands") else 0.0
    is_refused = iter([False, False, True, True, *[False] * JOBS])
    console.lists.refuses = lambda topic, _: topic.endswith("commands") and next(is_refused)

    async def steps() -> None:
        bulk = start(console)
        assert bulk.task is not None
        await bulk.task
        # then those that it has taken are counted, here and on record
        assert "Kafka did not answer" in bulk.failed
        assert (bulk.matching, bulk.result.resolved) == (JOBS, JOBS - 2)

    in_virtual_time(steps)
    assert commands(console) == JOBS - 2
    assert recorded(console)[-1].counts == {"matching": JOBS, "cancelled": JOBS - 2}
    assert recorded(console)[-1].failed == "BrokerUnavailable"


def test_what_was_asked_is_counted_when_it_is_stopped(console: SmallConsole) -> None:
    sent = iter(range(5))
    console.lists.takes_s = lambda topic, value: (
        next(sent, 60.0) if topic.endswith("commands") else 0.0
    )

    async def steps() -> None:
        bulk = start(console)
        await asyncio.sleep(10)
        await console.bulks.cancel(bulk)
        assert bulk.failed == "interrupted"

    in_virtual_time(steps)
    assert recorded(console)[-1].counts == {"matching": JOBS, "cancelled": 5}


def test_a_console_that_ends_waits_for_what_it_writes_of_its_actions(
    console: SmallConsole,
) -> None:
    # given an action on its way, and a Kafka that takes its time
    console.lists.takes_s = lambda topic, value: 7.0 if is_end(topic, value) else 0.5

    async def steps() -> None:
        bulk = start(console)
        await asyncio.sleep(0.6)
        # when it is stopped, and the console ends before that is on record
        stopping = asyncio.create_task(console.bulks.cancel(bulk))
        await asyncio.sleep(1)
        await console.bulks.close()
        # then it is on record by then
        assert [(each.ended, each.failed) for each in recorded(console)] == [
            (False, ""),
            (True, "interrupted"),
        ]
        await stopping

    in_virtual_time(steps)


def test_a_console_that_ends_does_not_wait_for_ever(console: SmallConsole) -> None:
    console.lists.takes_s = lambda topic, value: 1_000.0 if is_end(topic, value) else 0.5

    async def steps() -> None:
        start(console)
        await asyncio.sleep(0.6)
        await console.bulks.close()
        await console.ends.close()

    assert in_virtual_time(steps) < 11


def test_an_end_that_could_not_be_written_is_written_once_kafka_is_back(
    console: SmallConsole,
) -> None:
    # given a Kafka that goes away for a minute while an action is on its way
    is_away = [True]
    console.lists.refuses = lambda topic, value: is_away[0] and is_end(topic, value)

    async def steps() -> None:
        bulk = start(console)
        assert bulk.task is not None
        await bulk.task
        assert [each.ended for each in recorded(console)] == [False]
        assert bulk.ended is not None
        await asyncio.sleep(60)
        # when it is back, then the end is on record as it was
        is_away.clear()
        is_away.append(False)
        await asyncio.sleep(60)
        end = recorded(console)[-1]
        assert (end.ended, end.counts["cancelled"]) == (True, JOBS)
        assert end.at <= bulk.ended
        assert len(recorded(console)) == 2

    in_virtual_time(steps)
