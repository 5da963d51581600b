"""Jobs that tell when they start, in two queues."""

from __future__ import annotations

import asyncio

import effects

from streams import Event, JobPayload, job


class Bulk(JobPayload, name="bulk_job", queue="bulk"):
    n: int


class Plain(JobPayload, name="plain_job"):
    n: int


class Left(Event, type="account.left", key="account"):
    account: int


class Account(JobPayload, name="account_job", key="account"):
    account: int
    n: int


class Tenant(JobPayload, name="tenant_job", queue="bulk"):
    tenant: int
    n: int


@job(cancel_on=Left)
async def account_job(payload: Account) -> None:
    effects.write(f"account {payload.n}")


@job(fair_by="tenant", concurrency=2)
async def tenant_job(payload: Tenant) -> None:
    effects.write(f"tenant {payload.tenant} {payload.n}")
    await asyncio.sleep(0.005)


@job
async def bulk_job(payload: Bulk) -> None:
    effects.write(f"bulk {payload.n}")


@job
async def plain_job(payload: Plain) -> None:
    effects.write(f"plain {payload.n}")
