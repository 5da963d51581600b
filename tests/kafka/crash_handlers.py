"""Handlers whose effects are lines in a file: what happened, whatever the engine says."""

from __future__ import annotations

import asyncio

import effects

from streams import Fixed, JobContext, JobPayload, Retry, job


class Effect(JobPayload, name="effect", key="account"):
    account: int
    n: int


class Count(JobPayload, name="count", key="account"):
    account: int
    n: int


@job(retry=Retry(attempts=3, backoff=Fixed("200ms")))
async def effect(payload: Effect, ctx: JobContext) -> None:
    effects.write(f"start {payload.account} {payload.n}")
    await asyncio.sleep(0.02)
    if payload.n % 10 == 0 and ctx.attempt == 1:
        raise ValueError("the first attempt of every tenth fails")
    effects.write(f"end {payload.account} {payload.n}")


@job
async def count(payload: Count) -> None:
    effects.write(f"end {payload.account} {payload.n}")
