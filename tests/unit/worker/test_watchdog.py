"""Who blocks the loop is named."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from parts import attempt, definition_of

from streams import JobPayload, job
from streams.kafka.clock import WallClock
from streams.worker.executor import LoopExecutor
from streams.worker.watchdog import Watchdog, names_by_file, was_frozen


class Step(JobPayload, name="step"):
    way: str = ""


def sleep() -> None:
    time.sleep(0.6)  # the interpreter is free meanwhile


def spin() -> None:
    limit = time.monotonic() + 0.6
    while time.monotonic() < limit:
        pass


def hold() -> None:
    limit = time.monotonic() + 0.6
    while time.monotonic() < limit:
        sum(range(5_000_000))  # native code, which does not let go of the interpreter


WAYS: dict[str, Callable[[], None]] = {"sleep": sleep, "spin": spin, "hold": hold}


@job
async def step(payload: Step) -> None:
    WAYS[payload.way]()


@job(name="aside")
async def aside() -> None:
    async def inner() -> None:
        time.sleep(0.6)  # noqa: ASYNC251

    await asyncio.create_task(inner())


class Seen:
    """What a watchdog told."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self._told = asyncio.Event()

    def listen(self, name: str | None) -> None:
        self.names.append(name)
        self._told.set()

    async def next(self) -> str | None:
        await self._told.wait()
        self._told.clear()
        return self.names[-1]


@pytest.fixture
async def seen() -> AsyncIterator[Seen]:
    found = Seen()
    watchdog = Watchdog([definition_of(step)], found.listen)
    watchdog.start()
    yield found
    watchdog.stop()


async def run(handler: object, way: str = "") -> None:
    over = asyncio.Event()
    executor = LoopExecutor(WallClock(), lambda event: None)
    taken = attempt(definition_of(handler), "job-1", None)
    taken.envelope = replace(taken.envelope, payload=b'{"way": "%s"}' % way.encode())
    executor.submit(taken, lambda attempt, outcome: over.set())
    await over.wait()


@pytest.mark.parametrize("way", WAYS)
async def test_the_handler_that_blocks_is_named_with_its_line(
    way: str, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        heard = asyncio.create_task(seen.next())
        # A process that had less than half of the processor meanwhile counts as frozen: once more.
        while not heard.done():
            await run(step, way)
            await asyncio.wait({heard}, timeout=0.2)
        assert heard.result() == "step"
    (told,) = [r.getMessage() for r in caplog.records if "blocks the event loop" in r.message]
    assert "handler step (job job-1) blocks the event loop" in told
    assert f"{__file__}:" in told
    assert f"({way})" in told


async def test_it_is_told_once_in_a_minute_and_counted_each_time(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        await run(step, "sleep")
        assert await seen.next() == "step"
    assert seen.names == ["step", "step"]
    assert caplog.text.count("blocks the event loop") == 1


async def test_what_a_handler_runs_in_a_task_is_known_by_its_file(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    await run(aside)
    assert await seen.next() == "step"  # the watched definition of this file
    assert "(inner)" in caplog.text


async def test_a_loop_that_turns_is_not_told_of(seen: Seen) -> None:
    limit = time.monotonic() + 0.6
    while time.monotonic() < limit:
        await asyncio.sleep(0)
    assert seen.names == []


def test_a_file_with_several_handlers_names_none() -> None:
    first, second = definition_of(step), definition_of(aside)
    assert names_by_file([first]) == {__file__: "step"}
    assert names_by_file([first, second]) == {__file__: None}


def test_nobody_is_to_blame_for_a_process_that_stood_still() -> None:
    assert was_frozen(late_s=2.0, used_s=0.01)
    assert not was_frozen(late_s=2.0, used_s=1.9)  # native code was at work
    assert not was_frozen(late_s=0.01, used_s=0.0)  # a handler sleeps


async def test_each_beat_tells_how_late_the_loop_was() -> None:
    late: list[int] = []
    beaten = asyncio.Event()

    def on_beat(late_ms: int) -> None:
        late.append(late_ms)
        beaten.set()

    watchdog = Watchdog([], lambda name: None, on_beat)
    watchdog.start()
    try:
        await beaten.wait()
        beaten.clear()
        seen = len(late)
        time.sleep(0.2)  # noqa: ASYNC251
        await beaten.wait()
        assert late[seen] >= 150
    finally:
        watchdog.stop()
