"""Handlers of processes in the sandbox: in-line, judged by virtual time, all else as it is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from streams import Fixed, JobContext, JobPayload, Retry, SyncJobContext, job
from streams.testing.sandbox import Sandbox


class Render(JobPayload, name="render", key="page"):
    page: int
    fails: int = 0


class Slow(JobPayload, name="slow"):
    pass


class Rendered(JobPayload, name="rendered"):
    page: int


passes_time: list[Callable[[], None]] = []


@job(runs_in="process", retry=Retry(attempts=2, backoff=Fixed("10s")))
def render(payload: Render, ctx: SyncJobContext) -> list[object]:
    if ctx.attempt <= payload.fails:
        raise ValueError("not yet")
    child = ctx.enqueue(Rendered(page=payload.page))
    return [os.getpid(), threading.current_thread() is threading.main_thread(), child]


@job(runs_in="process", timeout="30s", retry=Retry(attempts=1))
def slow(payload: Slow) -> None:
    passes_time[-1]()


@job
async def rendered(payload: Rendered, ctx: JobContext) -> int:
    return payload.page


async def test_a_process_handler_runs_in_line_without_a_process_or_a_thread():
    async with Sandbox(render, rendered) as box:
        key = await box.enqueue(Render(page=1))
        pid, is_main, child = box.result(key)
        assert (pid, is_main) == (os.getpid(), True)
        assert child in {job.job.id for job in box.jobs(state="completed")}
        assert box.enqueued(Rendered) == [Rendered(page=1)]


async def test_its_errors_are_retried_and_its_key_waits():
    async with Sandbox(render, rendered) as box:
        first = await box.enqueue(Render(page=1, fails=1))
        second = await box.enqueue(Render(page=1))
        assert len(box.jobs(state="retrying")) == len(box.jobs(state="parked")) == 1
        await box.advance("10s")
        assert box.result(first) and box.result(second)


async def test_a_run_that_passes_its_deadline_has_overrun_its_timeout():
    async with Sandbox(slow) as box:
        clock = box.cluster.clock
        passes_time.append(lambda: clock.set(clock.now() + 30_000))
        await box.enqueue(Slow())
        (dead,) = box.jobs(state="dead")
        assert dead.failure.type == "TimeoutError"
        passes_time.append(lambda: clock.set(clock.now() + 29_999))
        await box.enqueue(Slow())
        assert len(box.jobs(state="completed")) == 1
