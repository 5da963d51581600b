"""Attempts share a task as long as they do not wait, and notice nothing of it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

from streams.worker.tasks import RUNS_MAX, STEP_MS, Tasks

Run = Callable[[str], Coroutine[Any, Any, None]]

word = contextvars.ContextVar("word", default="")


class Runs:
    """Starts runs of one kind, and remembers their tasks."""

    def __init__(self, handler: Run) -> None:
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.over = asyncio.Event()
        self.now = 0
        self._left = 0
        self._handler = handler
        self._tasks: Tasks[str] = Tasks(self._run, lambda: self.now)

    async def all(self, *items: str) -> list[asyncio.Task[None]]:
        """Run them, and return the task of each once all are over."""
        self.start(*items)
        await self.over.wait()
        return [self.tasks[item] for item in items]

    def start(self, *items: str) -> None:
        self.over.clear()
        self._left += len(items)
        for item in items:
            self._tasks.start("kind", item)

    async def _run(self, item: str, task: asyncio.Task[None]) -> None:
        assert task is asyncio.current_task()
        self.tasks[item] = task
        try:
            await self._handler(item)
        except asyncio.CancelledError:
            pass
        finally:
            self._left -= 1
            if not self._left:
                self.over.set()


async def test_runs_that_do_not_wait_share_a_task_which_begins_in_the_next_step() -> None:
    async def handler(item: str) -> None: ...

    runs = Runs(handler)
    runs.start("a", "b", "c")
    assert runs.tasks == {}
    await runs.over.wait()
    assert len({*runs.tasks.values()}) == 1


async def test_a_run_that_waits_holds_up_none_of_the_others() -> None:
    latch = asyncio.Event()
    began: list[str] = []
    first_done = asyncio.Event()

    async def handler(item: str) -> None:
        began.append(item)
        if item == "waits":
            await latch.wait()
        if item == "last":
            first_done.set()

    runs = Runs(handler)
    runs.start("first", "waits", "between", "last")
    await first_done.wait()
    assert (began, runs.over.is_set()) == (["first", "waits", "between", "last"], False)
    assert runs.tasks["first"] is runs.tasks["waits"] is not runs.tasks["between"]
    latch.set()
    await runs.over.wait()


async def test_all_that_wait_do_so_at_the_same_time() -> None:
    latch = asyncio.Event()
    waiting: set[str] = set()
    all_wait = asyncio.Event()

    async def handler(item: str) -> None:
        waiting.add(item)
        if len(waiting) == 50:
            all_wait.set()
        await latch.wait()

    runs = Runs(handler)
    runs.start(*(str(n) for n in range(50)))
    await all_wait.wait()
    latch.set()
    await runs.over.wait()
    assert len({*runs.tasks.values()}) == 50


async def test_what_waited_the_last_time_has_a_task_at_once_until_it_does_not_wait() -> None:
    waits = True

    async def handler(item: str) -> None:
        if waits:
            await asyncio.sleep(0)

    runs = Runs(handler)
    await runs.all("a", "b")
    first, second = await runs.all("c", "d")
    assert first is not second
    waits = False
    await runs.all("e")  # it tells that its like does not wait any more
    first, second = await runs.all("f", "g")
    assert first is second


async def test_context_variables_that_one_run_leaves_behind_are_seen_by_no_other() -> None:
    seen: list[str] = []

    async def handler(item: str) -> None:
        seen.append(word.get())
        word.set(item)
        if item == "b":
            await asyncio.sleep(0)

    runs = Runs(handler)
    word.set("of the caller")  # after it was made
    await runs.all("a", "b", "c")
    await runs.all("d", "e")
    assert seen == [""] * 5


async def test_what_one_run_starts_at_its_end_does_not_see_its_context_variables_either() -> None:
    seen: list[str] = []
    over = asyncio.Event()

    async def run(item: str, task: asyncio.Task[None]) -> None:
        seen.append(word.get())
        word.set(item)
        if item == "first":
            await asyncio.sleep(0)
            tasks.start("kind", "second")
        else:
            over.set()

    tasks: Tasks[str] = Tasks(run, lambda: 0)
    tasks.start("kind", "first")
    await over.wait()
    assert seen == ["", ""]


async def test_a_run_that_cancels_itself_and_ends_cancels_no_other() -> None:
    ended: list[str] = []

    async def handler(item: str) -> None:
        if item == "cancels":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return
        async with asyncio.timeout(10):  # which counts how often its task was cancelled
            await asyncio.sleep(0)
        ended.append(item)

    await Runs(handler).all("cancels", "a", "b")
    assert ended == ["a", "b"]


async def test_a_cancelled_run_that_waited_cancels_no_other() -> None:
    ended: list[str] = []
    waits = asyncio.Event()

    async def handler(item: str) -> None:
        if item == "waits":
            waits.set()
            await asyncio.Event().wait()
        ended.append(item)

    runs = Runs(handler)
    runs.start("waits")
    await waits.wait()
    runs.tasks["waits"].cancel()
    await runs.all("a", "b")
    await runs.over.wait()
    assert ended == ["a", "b"]


async def test_others_have_their_turn_between_many_runs() -> None:
    began = 0
    seen: list[int] = []

    async def handler(item: str) -> None:
        nonlocal began
        began += 1
        if began == 1:
            asyncio.get_running_loop().call_soon(lambda: seen.append(began))

    await Runs(handler).all(*(str(n) for n in range(3 * RUNS_MAX)))
    assert seen == [RUNS_MAX]


async def test_a_task_in_which_a_run_waited_runs_nothing_else() -> None:
    async def handler(item: str) -> None:
        if item == "waits":
            await asyncio.sleep(0)
            runs.start("after")

    runs = Runs(handler)
    runs.start("waits")
    await runs.over.wait()
    waited, after = runs.tasks["waits"], runs.tasks["after"]
    assert waited is not after


async def test_others_have_their_turn_between_few_runs_that_take_long() -> None:
    began = 0
    seen: list[int] = []

    async def handler(item: str) -> None:
        nonlocal began
        began += 1
        runs.now += STEP_MS // 2
        if began == 1:
            asyncio.get_running_loop().call_soon(lambda: seen.append(began))

    runs = Runs(handler)
    await runs.all(*(str(n) for n in range(10)))
    assert seen == [2]


async def test_a_cancellation_that_was_taken_back_without_a_wait_hits_no_other() -> None:
    ended: list[str] = []

    async def handler(item: str) -> None:
        if item == "cancels":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            task.uncancel()  # the task still remembers it until its next wait
            return
        await asyncio.sleep(0)
        ended.append(item)

    await Runs(handler).all("cancels", "a")
    assert ended == ["a"]
