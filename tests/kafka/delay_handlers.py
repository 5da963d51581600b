"""Delayed jobs that tell when they start."""

from __future__ import annotations

import asyncio
import time

import effects

from streams import JobPayload, job


class Later(JobPayload, name="later", key="account"):
    account: int
    n: int


class Loose(JobPayload, name="loose_later"):
    account: int
    n: int


def now_ms() -> int:
    """As a worker tells whether something is due."""
    return time.time_ns() // 1_000_000


@job
async def later(payload: Later) -> None:
    effects.write(f"started later {payload.account} {payload.n} {now_ms()}")
    await asyncio.sleep(0.02)


@job
async def loose_later(payload: Loose) -> None:
    effects.write(f"started loose {payload.account} {payload.n} {now_ms()}")
    await asyncio.sleep(0.02)
