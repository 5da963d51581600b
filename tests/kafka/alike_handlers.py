"""Jobs that are alike by their key, of which one is to run; each tells when it ends."""

from __future__ import annotations

import asyncio
import os

import effects

from streams import Debounce, JobPayload, Unique, job


class Throttled(JobPayload, name="throttled", key="account"):
    account: int
    n: int


class Debounced(JobPayload, name="debounced", key="account"):
    account: int
    n: int


class Single(JobPayload, name="single", key="account"):
    account: int
    n: int


async def tell(kind: str, account: int, n: int) -> None:
    effects.write(f"start {kind} {account} {n} {os.environ['WORKER']}")
    await asyncio.sleep(0.05)
    effects.write(f"end {kind} {account} {n} {os.environ['WORKER']}")


@job(throttle="1h")
async def throttled(payload: Throttled) -> None:
    await tell("throttled", payload.account, payload.n)


@job(debounce=Debounce("2s", at_most="10s"))
async def debounced(payload: Debounced) -> None:
    await tell("debounced", payload.account, payload.n)


@job(unique=Unique(by="key", for_="1h"))
async def single(payload: Single) -> None:
    await tell("single", payload.account, payload.n)
