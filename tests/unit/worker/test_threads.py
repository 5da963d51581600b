"""Threads that go on though nobody waits for them: counted, and bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from streams.worker.threads import Threads, waiting_on


class Calls:
    """Functions that stay in their threads until they are released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.abandoned = 0
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Semaphore(0)

    def function(self) -> str:
        """The function."""
        self._loop.call_soon_threadsafe(self._begun.release)
        self.release.wait()
        return "returned"

    async def start(self, threads: Threads, count: int) -> list[asyncio.Task[Any]]:
        """So many of them, once all have begun."""
        tasks = [asyncio.create_task(self._run(threads)) for _ in range(count)]
        for _ in tasks:
            await self._begun.acquire()
        return tasks

    def _run(self, threads: Threads) -> Coroutine[Any, Any, Any]:
        return threads.run("job", self.function, self._count)

    def _count(self) -> None:
        self.abandoned += 1


async def cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_left_behind_is_counted_until_it_returns() -> None:
    calls, slots = Calls(), list[int]()
    threads = Threads(slots.append, abandoned_max=20)
    # given two of three that nobody waits for any more
    tasks = await calls.start(threads, 3)
    await cancel(tasks[:2])
    assert (threads.abandoned, calls.abandoned, slots) == (2, 2, [])
    assert threads.problem is None
    # when they return, then nothing of them is left
    calls.release.set()
    assert await tasks[2] == "returned"
    while threads.abandoned:
        await asyncio.sleep(0)
    assert slots == []


async def test_beyond_the_bound_each_keeps_its_slot_until_it_returns() -> None:
    calls, slots = Calls(), list[int]()
    threads = Threads(slots.append, abandoned_max=1)
    tasks = await calls.start(threads, 3)
    # when the first is left behind, its slot is free
    await cancel(tasks[:1])
    assert slots == []
    assert threads.problem is not None
    assert "STREAMS_ABANDONED_THREADS is 1" in threads.problem
    # and those of the next ones are not
    await cancel(tasks[1:])
    assert (threads.abandoned, slots) == (3, [-1, -1])
    # until they return
    calls.release.set()
    while threads.abandoned:
        await asyncio.sleep(0)
    assert slots == [-1, -1, 1, 1]
    assert threads.problem is None


async def test_a_function_that_ends_as_it_is_cancelled_is_not_left_behind() -> None:
    calls, slots = Calls(), list[int]()
    threads = Threads(slots.append, abandoned_max=0)
    (task,) = await calls.start(threads, 1)
    # given its end, which the loop has not heard of
    calls.release.set()
    for thread in threading.enumerate():
        if thread.name == "job":
            thread.join()
    # when it is cancelled at that moment
    await cancel([task])
    # then it is over
    assert (threads.abandoned, calls.abandoned, slots) == (0, 0, [])


async def test_a_thread_waits_for_what_the_loop_does_and_the_loop_never_for_itself() -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    wait = waiting_on(asyncio.get_running_loop())

    assert await asyncio.to_thread(lambda: wait(double(21))) == 42
    with pytest.raises(AssertionError, match="on the loop itself"):
        wait(double(21))
