"""Handlers whose jobs give up until they are replayed, and tell of each run."""

from __future__ import annotations

import effects

from streams import Event, JobContext, JobPayload, PermanentError, job


class Pay(JobPayload, name="pay", key="account"):
    account: int
    n: int
    good: bool = False


class Bill(JobPayload, name="bill", key="account", queue="bulk"):
    account: int
    n: int


class Never(JobPayload, name="never"):
    n: int


class Opened(Event, type="account.opened", key="account"):
    account: int


@job
async def pay(payload: Pay, ctx: JobContext) -> None:
    effects.write(f"pay {payload.account} {payload.n} {ctx.generation} {payload.good}")
    if ctx.generation == 0 and not payload.good:
        raise PermanentError(f"account {payload.account} is closed")


@job
async def bill(payload: Bill, ctx: JobContext) -> None:
    effects.write(f"bill {payload.account} {payload.n} {ctx.generation} -")


@job
async def never(payload: Never, ctx: JobContext) -> None:
    effects.write(f"never - {payload.n} {ctx.generation} -")
    raise ValueError("it never works")


@job
async def greet(event: Opened) -> None:
    effects.write(f"greet {event.account} - 0 -")
