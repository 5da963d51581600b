"""What is left of `dead_handlers` in a later version: `pay` is gone, `bill` does its work."""

from __future__ import annotations

import effects

from streams import JobContext, JobPayload, job


class Bill(JobPayload, name="bill", key="account", queue="bulk"):
    account: int
    n: int


@job
async def bill(payload: Bill, ctx: JobContext) -> None:
    effects.write(f"bill {payload.account} {payload.n} {ctx.generation} later")
