"""Who follows a job: what is told, what is skipped, and who is too slow."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from small_console import SmallConsole, calling
from told import NOW

from streams.console import readers, waiting
from streams.console.api.job import _events
from streams.console.changes import WAITING_MAX, Changes, Listener
from streams.console.paths import Message
from streams.console.problems import unavailable
from streams.console.readers import Readers
from streams.console.streaming import EventStream
from streams.console.waiting import changes, until_over, version
from streams.jobs.states import State
from streams.projection.job import Job
from streams.projection.kinds import Kinds
from streams.projection.row import Row
from streams.projection.states import CODES
from streams.projection.states import NAMES as STATES

KINDS = Kinds({1: ("default", "charge")}, {})


def job(state: str = "queued", offset: int = 0) -> Job:
    made = Row(1, 1, 0, "j1", None, None)
    made.n = 1
    made.state, made.seen_offset = CODES[state], offset
    made.at = made.time = 0
    return Job.of(made, KINDS)


class FakeConsole:
    """Has one job, which changes when a test says so."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.ending = asyncio.Event()
        self.readers = Readers()
        self.job: Job | None = job()
        self.busy = 0  # questions that are not answered

    async def ask(self, question: Any) -> Any:
        if self.busy:
            self.busy -= 1
            raise unavailable("too many ask")
        return [] if self.job is None else [self.job]

    def become(self, *jobs: Job) -> None:
        self.job = jobs[-1]
        self.changes.publish([job.row for job in jobs], KINDS)


async def test_a_change_that_comes_while_the_first_is_told_is_not_lost() -> None:
    console: Any = FakeConsole()
    told = []
    async with asyncio.timeout(5), aclosing(changes(console, job())) as following:
        async for each in following:
            told.append(each.row.seen_offset)
            if len(told) == 1:
                console.become(job("running", 1), job("running", 2))
                console.become(job("completed", 3))
    assert told == [0, 1, 2, 3]


async def test_a_change_that_is_older_than_what_was_read_is_not_told(tmp_path: Path) -> None:
    # given one who follows a job that dies and is replayed while it is read for the first time
    console = SmallConsole(tmp_path)
    console.topics.sent("1")
    console.read()
    followed = console.job("1")

    def meanwhile() -> None:
        console.before_answer = lambda: None
        console.topics.entry("1", State.RUNNING, run=1)
        console.read()
        console.topics.entry("1", State.DEAD, run=1)
        console.read()
        console.topics.entry("1", State.RUNNING, generation=1, run=2)
        console.read()

    console.before_answer = meanwhile
    told = []
    async with asyncio.timeout(5), aclosing(changes(console, followed)) as following:
        async for each in following:
            told.append((each.row.generation, STATES[each.row.state]))
            if len(told) == 1:  # then what it is told is never earlier than that
                console.topics.entry("1", State.DEAD, generation=1, run=2)
                console.read()
    assert told == [(1, "running"), (1, "dead")]


async def test_a_dead_job_that_is_replayed_or_comes_again_is_told_as_it_is(
    tmp_path: Path,
) -> None:
    # given one that waited, ran and is replayed
    console = SmallConsole(tmp_path)
    told = []

    async def follow(last: str) -> None:
        async with asyncio.timeout(5), calling(console) as client:
            said = await client.get("/jobs/1/events", headers={"Last-Event-ID": last})
            told.append([line for line in said.text.splitlines() if line.startswith("id: ")])

    console.topics.sent("1", due=NOW + 1)
    console.read()
    first = version(console.job("1"))
    console.topics.entry("1", State.DEAD, run=7)
    console.read()
    dead = version(console.job("1"))
    # when one who saw it wait comes again, then the latest is told
    await follow(first)
    assert told == [[f"id: {dead}"]]
    # when one who saw it dead comes again after it was replayed, then its end is told
    console.topics.entry("1", State.RUNNING, generation=1, run=8)
    console.topics.over("1", generation=1, run=8)
    console.read()
    await follow(dead)
    over = version(console.job("1"))
    assert told[1:] == [[f"id: {over}"]]


async def test_who_is_too_slow_goes_on_with_the_latest() -> None:
    console: Any = FakeConsole()
    told = []
    async with asyncio.timeout(5), aclosing(changes(console, job())) as following:
        async for each in following:
            told.append(each.row.seen_offset)
            if len(told) == 1:
                many = [job("running", number) for number in range(1, WAITING_MAX + 10)]
                console.become(*many)
                console.job = job("completed", 9_999)
    assert told == [0, 9_999]


async def test_who_follows_stays_while_others_ask_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a console that can't answer for a moment, at first and when somebody was too slow
    monkeypatch.setattr(waiting, "_BUSY_S", 0.01)
    console: Any = FakeConsole()
    console.busy = 2
    told = []
    async with asyncio.timeout(5), aclosing(changes(console, job())) as following:
        async for each in following:
            told.append(each.row.seen_offset)
            if len(told) == 1:
                console.become(*[job("running", at) for at in range(1, WAITING_MAX + 10)])
                console.job = job("completed", 9_999)
                console.busy = 2
    # then he is told as ever, only later
    assert told == [0, 9_999]


async def test_when_a_console_ends_nobody_asks_it_for_more() -> None:
    # given one who follows a job
    console: Any = FakeConsole()
    told = []
    async with asyncio.timeout(5), aclosing(changes(console, job())) as following:
        async for each in following:
            told.append(each.row.seen_offset)
            # when the console is to end, and has no time for questions
            console.busy = 1_000
            asyncio.get_running_loop().call_soon(console.ending.set)
    # then he is let go
    assert told == [0]


async def test_a_wait_ends_with_the_job_with_its_time_and_with_the_console() -> None:
    console: Any = FakeConsole()
    assert (await until_over(console, job(), 0.01)).row.state == CODES["queued"]
    asyncio.get_running_loop().call_soon(console.become, job("dead", 5))
    assert (await until_over(console, job(), 5)).row.seen_offset == 5
    console.job = job()
    asyncio.get_running_loop().call_soon(console.ending.set)
    async with asyncio.timeout(1):
        assert (await until_over(console, job(), 60)).row.state == CODES["queued"]
    console.job = None
    console.ending.clear()
    async with asyncio.timeout(1):
        await until_over(console, job(), 60)


def test_a_listener_that_is_full_keeps_nothing() -> None:
    listener = Listener(job())
    for number in range(WAITING_MAX + 1):
        listener.put(job("running", number))
    assert listener.is_dropped
    assert listener._jobs.qsize() == 1


def test_versions_differ_with_each_change() -> None:
    versions = {version(each) for each in (job(), job("running"), job("running", 1))}
    assert len(versions) == 3


async def test_a_reader_that_takes_nothing_is_dropped() -> None:
    # given one that has followed, and takes no more
    console: Any = FakeConsole()
    response = EventStream(_events(console, job(), None), send_s=0.05)
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
    assert console.readers.number == 0


@pytest.mark.parametrize("path", ["/jobs/1?wait=1s", "/jobs/1/events"])
async def test_who_waits_and_who_follows_is_counted_and_bounded(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "READERS_MAX", 1)
    console = SmallConsole(tmp_path)
    console.topics.sent("1")
    console.read()
    async with asyncio.timeout(10), calling(console) as client:
        # given one who waits for a job
        waiting = asyncio.create_task(client.get("/jobs/1", params={"wait": "30s"}))
        while console.readers.number == 0:
            await asyncio.sleep(0)
        # when there may be no more, then the next one is refused, and told when to come again
        said = await client.get(path)
        assert (said.status_code, said.headers["Retry-After"]) == (503, "5"), said.text
        assert said.json()["detail"].startswith("too many follow jobs")
        assert (await client.get("/jobs/1")).status_code == 200
        # and one may come as soon as the first has gone
        console.topics.over("1")
        console.read()
        assert (await waiting).json()["data"]["state"] == "completed"
        assert (await client.get(path)).status_code == 200
    assert console.readers.number == 0
