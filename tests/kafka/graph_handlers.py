"""Handlers that do all that dashboards show."""

from __future__ import annotations

import asyncio
import time

from streams import (
    Every,
    Fixed,
    JobContext,
    JobPayload,
    PermanentError,
    RateLimit,
    Retry,
    Snooze,
    Tick,
    job,
)


class Fine(JobPayload, name="fine"):
    n: int


class Flaky(JobPayload, name="flaky"):
    n: int


class Broken(JobPayload, name="broken"):
    n: int


class Stuck(JobPayload, name="stuck", key="account"):
    account: int
    n: int


class Slow(JobPayload, name="slow", key="account"):
    account: int
    n: int


class Scarce(JobPayload, name="scarce"):
    n: int


class Rude(JobPayload, name="rude"):
    n: int


class Tired(JobPayload, name="tired"):
    n: int


class Long(JobPayload, name="long"):
    n: int


class Stubborn(JobPayload, name="stubborn"):
    n: int


@job
async def fine(payload: Fine) -> None:
    await asyncio.sleep(0.01)


@job(retry=Retry(attempts=3, backoff=Fixed("100ms")))
async def flaky(payload: Flaky, ctx: JobContext) -> None:
    if ctx.attempt == 1:
        raise ConnectionError("not the first time")


@job
async def broken(payload: Broken) -> None:
    raise PermanentError("never")


@job(retry=Retry(attempts=3, backoff=Fixed("1h")))
async def stuck(payload: Stuck) -> None:
    raise ConnectionError("for an hour")


@job
async def slow(payload: Slow) -> None:
    await asyncio.sleep(0.3)


@job(rate_limit=RateLimit(1, per="1h"))
async def scarce(payload: Scarce) -> None: ...


@job
async def rude(payload: Rude) -> None:
    time.sleep(0.25)  # noqa: ASYNC251


@job
async def tired(payload: Tired) -> None:
    raise Snooze("1h")


@job(timeout="1h")
async def long(payload: Long, ctx: JobContext) -> None:
    part = 0
    while True:
        part += 1
        await ctx.checkpoint(part)
        await asyncio.sleep(0.2)


@job(timeout="100ms")
def stubborn(payload: Stubborn) -> None:
    time.sleep(120)  # in a thread, which nothing can stop


@job(name="tick", cron=Every("1s", overlap="allow"))
async def tick(tick: Tick) -> None: ...
