"""Handlers on the loop, in threads and in processes, each of which says when it starts and where.

A line of the effects file is: what happened, the job's name, its key, its number, the worker, and
the process if it is another one.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import effects

from streams import Fixed, JobContext, JobPayload, Retry, Snooze, SyncJobContext, job


class OnLoop(JobPayload, name="on_loop", key="n"):
    """A coroutine that never ends."""

    n: int


class InThread(JobPayload, name="in_thread", key="n"):
    """A function that goes on until its context says that it is over."""

    n: int


class InProcess(JobPayload, name="in_process", key="n"):
    """A function in a process that goes on until it is killed, or its latch is opened."""

    n: int
    latch: str = ""


class Endless(JobPayload, name="endless", key="n"):
    """A function in a process that is never over in time."""

    n: int


class Stuck(JobPayload, name="stuck", key="n"):
    """A function in a thread that never returns, unless its latch is opened."""

    n: int
    latch: str


class Brief(JobPayload, name="brief", key="n"):
    """A function in a thread that returns at once."""

    n: int


class Quick(JobPayload, name="quick", key="n"):
    """A coroutine that is over at once."""

    n: int


class Blocker(JobPayload, name="blocker", key="n"):
    """A coroutine that blocks its loop."""

    n: int


class Failing(JobPayload, name="failing", key="n"):
    """A job that is to be tried again in an hour."""

    n: int


class Sleeping(JobPayload, name="sleeping", key="n"):
    """A job that puts itself off for an hour."""

    n: int


def tell(what: str, payload: JobPayload, where: object = "") -> None:
    """Add a line."""
    key = payload.ordering_key()
    where = where or os.getpid()
    effects.write(f"{what} {payload.__job_name__} {key} {key} {where}")


def in_a_process() -> str:
    """The worker that this process belongs to, and itself."""
    return f"{os.getppid()} {os.getpid()}"


@job(timeout="1h")
async def on_loop(payload: OnLoop) -> None:
    tell("start", payload)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        tell("stop", payload)
        raise


@job(timeout="1h")
def in_thread(payload: InThread, ctx: SyncJobContext) -> None:
    tell("start", payload)
    while True:
        time.sleep(0.02)
        try:
            ctx.raise_if_cancelled()
        except asyncio.CancelledError:
            tell("stop", payload)
            raise


@job(runs_in="process", timeout="1h")
def in_process(payload: InProcess) -> int:
    tell("start", payload, in_a_process())
    while not payload.latch or not Path(payload.latch).exists():
        pass
    tell("end", payload, in_a_process())
    return os.getpid()


@job(runs_in="process", timeout="1s", retry=Retry(attempts=1))
def endless(payload: Endless) -> None:
    tell("start", payload, in_a_process())
    while True:
        pass


@job(timeout="500ms", retry=Retry(attempts=1))
def stuck(payload: Stuck) -> None:
    tell("start", payload)
    while not Path(payload.latch).exists():
        time.sleep(0.05)
    tell("end", payload)


@job
def brief(payload: Brief) -> None:
    tell("start", payload)


@job
async def quick(payload: Quick) -> None:
    tell("start", payload)


@job
async def blocker(payload: Blocker) -> None:
    time.sleep(0.5)  # noqa: ASYNC251


@job(retry=Retry(backoff=Fixed("1h")))
async def failing(payload: Failing, ctx: JobContext) -> None:
    raise ValueError("not yet")


@job
async def sleeping(payload: Sleeping) -> None:
    raise Snooze("1h")
