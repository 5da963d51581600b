"""Handlers that end in every way that there is."""

from __future__ import annotations

import asyncio

from streams import Discard, Fixed, JobContext, JobPayload, PermanentError, Retry, job


class Mixed(JobPayload, name="mixed", key="account"):
    account: int
    n: int


class Swift(JobPayload, name="swift"):
    n: int


class Untold(JobPayload, name="untold"):
    n: int


@job(retry=Retry(attempts=3, backoff=Fixed("300ms")))
async def mixed(payload: Mixed, ctx: JobContext) -> None:
    await asyncio.sleep(0.01)
    match payload.n % 20:
        case 1 if ctx.attempt == 1:
            raise ValueError("the first attempt fails")
        case 2:
            raise Discard("nothing to do")
        case 3 if payload.n % 100 == 3:
            raise PermanentError("it is dead")


@job
async def swift(payload: Swift) -> None:
    """Completes."""


@job(ledger=False)
async def untold(payload: Untold) -> None:
    """Completes, and nobody is told."""
