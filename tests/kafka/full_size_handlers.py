"""Jobs that come in millions: what they do is in the marks file, not in lines of text."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial

from marks import mark

from streams import JobContext, JobPayload, Retry, RetryAfter, job
from streams.worker import pipeline

if bound := os.environ.get("BOUND"):
    # No setting has it: how many entries the open table of a partition may hold.
    pipeline.Bounds = partial(pipeline.Bounds, entries=int(bound))  # type: ignore[misc,assignment]


class Filler(JobPayload, name="filler"):
    """One of many; it takes as long as it is told."""

    n: int
    seconds: float = 0


class Flow(JobPayload, name="flow"):
    """One of a steady flow; it says which partition it was sent to."""

    partition: int
    n: int


class Late(JobPayload, name="late", key="account"):
    """A job of a key; the first of each key fails as long as the outage goes on."""

    account: int
    n: int
    until: float  # when the outage is over, by the wall clock


class Tried(JobPayload, name="tried", key="n"):
    """A job that asks for its next attempt in 5 s until it has had enough of them."""

    n: int
    attempts: int = 2


@job
async def filler(payload: Filler) -> None:
    mark("fill", 0, payload.n, 1)
    if payload.seconds:
        await asyncio.sleep(payload.seconds)


@job
async def flow(payload: Flow) -> None:
    mark("flow", payload.partition, payload.n, 1)


@job(retry=Retry(attempts=100))
async def late(payload: Late, ctx: JobContext) -> None:
    mark("late", payload.account, payload.n, ctx.attempt)
    left = payload.until - time.time()
    if left > 0:
        raise RetryAfter(f"{left * 1000:.0f}ms")


@job(retry=Retry(attempts=100))
async def tried(payload: Tried, ctx: JobContext) -> None:
    mark("trie", payload.n, payload.n, ctx.attempt)
    if ctx.attempt < payload.attempts:
        raise RetryAfter("5s")
