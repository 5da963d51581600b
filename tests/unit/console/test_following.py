"""Who follows a job: what is told, what is skipped, and who is too slow."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from streams.console.api.job import _events
from streams.console.changes import WAITING_MAX, Changes, Listener
from streams.console.paths import Message
from streams.console.streaming import EventStream
from streams.console.waiting import changes, until_over, version
from streams.projection.listing import Kinds
from streams.projection.row import Row
from streams.projection.states import CODES


def row(state: str = "queued", offset: int = 0) -> Row:
    made = Row(1, 1, 0, "j1", None, None)
    made.n = 1
    made.state, made.seen_offset = CODES[state], offset
    made.at = made.time = 0
    return made


class FakeConsole:
    """Has one job, which changes when a test says so."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.ending = asyncio.Event()
        self.readers = 0
        self.row: Row | None = row()

    async def ask(self, question: Any) -> Any:
        if question == Kinds.read:
            return Kinds({1: ("default", "charge")}, {})
        return [] if self.row is None else [self.row]

    def become(self, *rows: Row) -> None:
        self.row = rows[-1]
        self.changes.publish(rows)


async def test_a_change_that_comes_while_the_first_is_told_is_not_lost() -> None:
    console: Any = FakeConsole()
    told = []
    async with asyncio.timeout(5), aclosing(changes(console, row())) as following:
        async for each in following:
            told.append(each.seen_offset)
            if len(told) == 1:
                console.become(row("running", 1), row("running", 2))
                console.become(row("completed", 3))
    assert told == [0, 1, 2, 3]


async def test_who_is_too_slow_goes_on_with_the_latest() -> None:
    console: Any = FakeConsole()
    told = []
    async with asyncio.timeout(5), aclosing(changes(console, row())) as following:
        async for each in following:
            told.append(each.seen_offset)
            if len(told) == 1:
                many = [row("running", number) for number in range(1, WAITING_MAX + 10)]
                console.become(*many)
                console.row = row("completed", 9_999)
    assert told == [0, 9_999]


async def test_a_wait_ends_with_the_job_with_its_time_and_with_the_console() -> None:
    console: Any = FakeConsole()
    assert (await until_over(console, row(), 0.01)).state == CODES["queued"]
    asyncio.get_running_loop().call_soon(console.become, row("dead", 5))
    assert (await until_over(console, row(), 5)).seen_offset == 5
    console.row = row()
    asyncio.get_running_loop().call_soon(console.ending.set)
    async with asyncio.timeout(1):
        assert (await until_over(console, row(), 60)).state == CODES["queued"]
    console.row = None
    console.ending.clear()
    async with asyncio.timeout(1):
        await until_over(console, row(), 60)


def test_a_listener_that_is_full_keeps_nothing() -> None:
    listener = Listener(lambda _: True)
    for number in range(WAITING_MAX + 1):
        listener.put(row("running", number))
    assert listener.is_dropped
    assert listener._rows.qsize() == 1


def test_versions_differ_with_each_change() -> None:
    versions = {version(each) for each in (row(), row("running"), row("running", 1))}
    assert len(versions) == 3


async def test_a_reader_that_takes_nothing_is_dropped() -> None:
    # given one that has followed, and takes no more
    console: Any = FakeConsole()
    response = EventStream(_events(console, row(), None), send_s=0.05)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body"):
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    # when something is told, then it is let go
    async with asyncio.timeout(5):
        await response({"type": "http", "method": "GET", "path": "/"}, receive, send)
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    assert console.readers == 0
