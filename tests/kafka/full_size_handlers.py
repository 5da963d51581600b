"""Jobs that come in millions: what they do is in the marks file, not in lines of text."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

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
    """A job of a key; it fails as long as the outage goes on."""

    account: int
    n: int
    outage: str  # a file that is there as long as it goes on
    wait_s: int  # until the next attempt; longer after each further one


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
    fails = _goes_on(payload.outage)
    mark("fail" if fails else "late", payload.account, payload.n, ctx.attempt)
    if fails:
        raise RetryAfter(f"{payload.wait_s * ctx.attempt}s")


def _goes_on(outage: str) -> bool:
    return Path(outage).exists()


@job(retry=Retry(attempts=100))
async def tried(payload: Tried, ctx: JobContext) -> None:
    mark("trie", payload.n, payload.n, ctx.attempt)
    if ctx.attempt < payload.attempts:
        raise RetryAfter("5s")
