"""Jobs that tell when they begin and end: some of limited numbers, some in queues of weights."""

from __future__ import annotations

import asyncio
import os
import time

import effects

from streams import Batch, JobPayload, RateLimit, job


class Limited(JobPayload, name="limited", key="tenant"):
    tenant: int
    n: int


class Few(JobPayload, name="few"):
    n: int


class Scarce(JobPayload, name="scarce"):
    n: int


class Row(JobPayload, name="row", key="table"):
    table: int
    n: int


class Bulk(JobPayload, name="bulk_job", queue="bulk"):
    n: int


class Urgent(JobPayload, name="urgent", queue="critical"):
    n: int


class Slow(JobPayload, name="slow_rate"):
    n: int


class Rare(JobPayload, name="rare_rate", key="n"):
    n: int


class Fast(JobPayload, name="fast_rate", key="n"):
    n: int


async def tell(kind: str, of: int) -> None:
    effects.write(f"start {kind} {of} {os.environ['WORKER']}")
    await asyncio.sleep(0.02)
    effects.write(f"end {kind} {of} {os.environ['WORKER']}")


@job(ordering="none", key_concurrency=2)
async def limited(payload: Limited) -> None:
    await tell("limited", payload.tenant)


@job(concurrency=3)
async def few(payload: Few) -> None:
    await tell("few", 0)


@job(rate_limit=RateLimit(5, per="1m"))
async def rare_rate(payload: Rare) -> None:
    start("rare", payload.n)


@job(cluster_concurrency=3)
async def scarce(payload: Scarce) -> None:
    await tell("scarce", payload.n)


@job(batch=Batch(20, wait="200ms"))
async def row(rows: list[Row]) -> None:
    effects.write(f"call row {len(rows)} {os.environ['WORKER']}")
    await asyncio.sleep(0.02)
    for each in rows:
        effects.write(f"did row {each.table} {each.n} {os.environ['WORKER']}")


@job
async def bulk_job(payload: Bulk) -> None:
    await tell("bulk", 0)


@job
async def urgent(payload: Urgent) -> None:
    await tell("urgent", 0)


def start(kind: str, n: int) -> None:
    effects.write(f"start {kind} {n} {time.monotonic_ns()} {os.environ['WORKER']}")


@job(rate_limit=RateLimit(2, per="3s"))
async def slow_rate(payload: Slow) -> None:
    start("slow", payload.n)


@job(rate_limit=RateLimit(50, per="1s"))
async def fast_rate(payload: Fast) -> None:
    start("fast", payload.n)
