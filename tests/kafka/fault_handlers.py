"""Handlers for workers that are killed, frozen or replaced: each line names the process it ran in.

A line of the effects file is: what happened, the job's name, its key, its number, the process.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import effects

from streams import Fixed, JobContext, JobPayload, Retry, RetryAfter, Snooze, job


class Step(JobPayload, name="step", key="account"):
    """A short job; every tenth fails its first attempt."""

    account: int
    n: int


class Hold(JobPayload, name="hold", key="n"):
    """A job that goes on until its latch is opened, and stops when it is told to."""

    n: int
    latch: str


class Stubborn(JobPayload, name="stubborn", key="n"):
    """A job that goes on until its latch is opened, whoever tells it to stop."""

    n: int
    latch: str  # of each process its own: its name and a hyphen, then the number of the process


class Blocking(JobPayload, name="blocking", key="n"):
    """A function that sits in its thread until its latch is opened."""

    n: int
    latch: str


class Later(JobPayload, name="later", key="n"):
    """A job that puts itself off until its latch is opened."""

    n: int
    latch: str


class Again(JobPayload, name="again", key="n"):
    """A job that fails its first attempt, and says when it wants the next one."""

    n: int
    after: str


def tell(what: str, payload: JobPayload, number: int) -> None:
    """Add a line."""
    line = f"{what} {payload.__job_name__} {payload.ordering_key()} {number} {os.getpid()}"
    effects.write(line)


@job(retry=Retry(attempts=10, backoff=Fixed("200ms")))
async def step(payload: Step, ctx: JobContext) -> int:
    tell("start", payload, payload.n)
    try:
        await asyncio.sleep(0.3 if payload.n % 3 == 0 else 0.02)  # some are cut off
    except asyncio.CancelledError:
        tell("stop", payload, payload.n)
        raise
    if payload.n % 10 == 0 and ctx.attempt == 1:
        tell("fail", payload, payload.n)
        raise ValueError("the first attempt of every tenth fails")
    tell("end", payload, payload.n)
    return payload.n


@job(retry=Retry(attempts=10), timeout="1h")
async def hold(payload: Hold) -> int:
    tell("start", payload, payload.n)
    try:
        await _until_open(payload.latch)
    except asyncio.CancelledError:
        tell("stop", payload, payload.n)
        raise
    tell("end", payload, payload.n)
    return os.getpid()


@job(retry=Retry(attempts=10), timeout="1h")
async def stubborn(payload: Stubborn) -> int:
    tell("start", payload, payload.n)
    opened = asyncio.ensure_future(_until_open(f"{payload.latch}-{os.getpid()}"))
    while not opened.done():
        try:
            await asyncio.shield(opened)
        except asyncio.CancelledError:
            tell("stop", payload, payload.n)
    tell("end", payload, payload.n)
    return os.getpid()


@job(retry=Retry(attempts=10), timeout="1h")
def blocking(payload: Blocking) -> int:
    tell("start", payload, payload.n)
    while not Path(payload.latch).exists():
        time.sleep(0.05)
    tell("end", payload, payload.n)
    return os.getpid()


@job
async def later(payload: Later) -> int:
    tell("start", payload, payload.n)
    if not Path(payload.latch).exists():  # noqa: ASYNC240
        tell("stop", payload, payload.n)
        raise Snooze("500ms")
    tell("end", payload, payload.n)
    return os.getpid()


@job
async def again(payload: Again, ctx: JobContext) -> int:
    tell("start", payload, payload.n)
    if ctx.attempt == 1:
        tell("fail", payload, payload.n)
        raise RetryAfter(payload.after)
    tell("end", payload, payload.n)
    return os.getpid()


async def _until_open(latch: str) -> None:
    # Another process opens it: there is nothing to wait for but the file.
    while not Path(latch).exists():  # noqa: ASYNC240
        await asyncio.sleep(0.05)
