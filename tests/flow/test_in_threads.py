"""Functions in threads: what their context can do, and what becomes of those that go on."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading

from steps import until

from streams import JobContext, JobPayload, Retry, SyncJobContext, job
from streams.jobs.context import JobContext as Context
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening
from streams.testing.sandbox import Sandbox


class Parent(JobPayload, name="parent"):
    n: int


class Child(JobPayload, name="child"):
    n: int


class Long(JobPayload, name="long"):
    n: int = 0


async def test_a_function_enqueues_a_child_which_is_durable_on_return():
    ran: list[int] = []

    @job
    def parent(payload: Parent, ctx: SyncJobContext) -> str:
        ctx.raise_if_cancelled()  # it is not
        return ctx.enqueue(Child(n=payload.n))

    @job
    async def child(payload: Child, ctx: JobContext) -> None:
        ctx.raise_if_cancelled()
        ran.append(payload.n)

    async with Sandbox(parent, child) as box:
        key = await box.enqueue(Parent(n=3))
        assert ran == [3]
        assert box.result(key) in {job.job.id for job in box.jobs(state="completed")}


async def test_every_call_of_a_context_that_is_awaited_elsewhere_returns_in_a_function():
    awaited = {
        name
        for name, method in vars(Context).items()
        if inspect.iscoroutinefunction(method) and not name.startswith("_")
    }
    assert {"enqueue", "emit"} <= awaited
    for name in awaited:
        assert not inspect.iscoroutinefunction(vars(SyncJobContext)[name])


async def test_a_thread_past_its_timeout_sees_it_at_the_next_call_of_its_context():
    goes_on, seen = threading.Event(), list[BaseException]()

    @job(timeout="30s", retry=Retry(attempts=1))
    def long(payload: Long, ctx: SyncJobContext) -> None:
        goes_on.wait()
        try:
            ctx.enqueue(Child(n=1))
        except BaseException as error:
            seen.append(error)
            raise

    async with Sandbox(long) as box:
        enqueuing = asyncio.create_task(box.enqueue(Long()))
        await until(lambda: any(e.happening is Happening.STARTED for e in box.events))
        # when its time is over
        box.cluster.clock.set(box.cluster.clock.now() + 30_000)
        await enqueuing
        # then so is the attempt, and the thread is counted
        (dead,) = box.jobs(state="dead")
        assert dead.failure.type == "TimeoutError"
        threads = box.cluster.workers[0].engine.executor.threads
        assert threads.abandoned == 1
        (left,) = [e for e in box.events if e.happening is Happening.ABANDONED]
        assert (left.name, left.id) == ("long", dead.job.id)
        # and what it asks for then is refused
        goes_on.set()
        await until(lambda: threads.abandoned == 0)
        (error,) = seen
        assert isinstance(error, asyncio.CancelledError)
        assert "longer than its timeout of 30000 ms" in str(error)
        assert box.enqueued(Child) == []


async def test_a_thread_that_is_cancelled_sees_it_and_its_slot_is_free_at_once():
    goes_on, seen = threading.Event(), list[str]()

    @job
    def long(payload: Long, ctx: SyncJobContext) -> None:
        goes_on.wait()
        try:
            ctx.raise_if_cancelled()
        except asyncio.CancelledError as error:
            seen.append(str(error))
            raise

    async with Sandbox(long) as box:
        enqueuing = asyncio.create_task(box.enqueue(Long(), id="one"))
        await until(lambda: any(e.happening is Happening.STARTED for e in box.events))
        await box.cancel(JobKey(name="long", ordering_key=None, id="one"))
        await enqueuing
        (cancelled,) = box.jobs(state="cancelled")
        assert cancelled.reason == "cancelled"
        executor = box.cluster.workers[0].engine.executor
        assert (executor.running, executor.threads.abandoned) == (0, 1)
        goes_on.set()
        await until(lambda: executor.threads.abandoned == 0)
        assert seen == ["cancelled"]


async def test_a_coroutine_that_swallowed_its_cancellation_can_ask():
    asked: list[BaseException] = []

    @job
    async def long(payload: Long, ctx: JobContext) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            ctx.raise_if_cancelled()
        except asyncio.CancelledError as error:
            asked.append(error)
            raise

    async with Sandbox(long) as box:
        enqueuing = asyncio.create_task(box.enqueue(Long(), id="one"))
        await until(lambda: any(e.happening is Happening.STARTED for e in box.events))
        await box.cancel(JobKey(name="long", ordering_key=None, id="one"))
        await enqueuing
        assert len(asked) == len(box.jobs(state="cancelled")) == 1
