"""Handlers whose jobs are looked at in the console."""

from __future__ import annotations

import asyncio

from streams import Exponential, JobContext, PermanentError, Retry, job
from streams.contracts import JobPayload


class Greet(JobPayload, name="greet", key="person", queue="default"):
    """Say hello."""

    person: str
    text: str = ""


class Count(JobPayload, name="count", key="what", queue="bulk"):
    """Count up."""

    what: str


class Fail(JobPayload, name="fail", key="what", queue="default"):
    """Give up."""

    what: str


class Wobble(JobPayload, name="wobble", key="what", queue="critical"):
    """Fail again and again."""

    what: str


@job
async def greet(payload: Greet, ctx: JobContext) -> dict[str, str]:
    """Completes."""
    ctx.log.info("hello %s", payload.text)
    return {"said": f"hello {payload.person}", "text": payload.text}


@job
async def count(payload: Count, ctx: JobContext) -> int:
    """Runs for longer than anybody looks on."""
    for done in range(1_000):
        await ctx.progress(done, 1_000)
        await asyncio.sleep(0.2)
    return 1_000


@job
async def fail(payload: Fail) -> None:
    """Dies at once."""
    raise PermanentError(f"no such thing: {payload.what}")


@job(retry=Retry(attempts=50, backoff=Exponential(base="1h", cap="2h")))
async def wobble(payload: Wobble) -> None:
    """Is retried, by and by."""
    raise ConnectionError(f"nobody answers {payload.what}")
