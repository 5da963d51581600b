"""Jobs that keep others waiting, each in its way."""

from __future__ import annotations

import asyncio

from streams import JobPayload, PermanentError, Retry, RetryAfter, job


class Load(JobPayload, name="load", key="account"):
    account: int
    how: str = "retries"


class Halting(JobPayload, name="halting", key="account"):
    account: int


@job(retry=Retry(attempts=4), timeout="10m")
async def load(payload: Load) -> None:
    if payload.how == "retries":
        raise RetryAfter("1h")
    if payload.how == "runs":
        await asyncio.Event().wait()


@job(on_dead="halt")
async def halting(payload: Halting) -> None:
    raise PermanentError("the account is closed")
