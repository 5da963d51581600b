"""After an outage what is overdue runs in due order, and does not bury what is due now."""

from __future__ import annotations

import pytest
from steps import crash, kill_all, pipeline, send

from streams import JobPayload, job
from streams.testing.cluster import MemoryCluster
from streams.testing.sandbox import Sandbox
from streams.worker.openings import OVERDUE_MAX

OVERDUE = 5 * OVERDUE_MAX
STEP_MS = 100


class Slow(JobPayload, name="slow"):
    n: int


class SlowKeyed(JobPayload, name="slow_keyed", key="n"):
    n: int


started: list[tuple[int, int]] = []  # (number, when)
clusters: list[MemoryCluster] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    started.clear()
    clusters.clear()


async def work(n: int) -> None:
    clock = clusters[0].clock
    started.append((n, clock.now()))
    await clock.sleep(STEP_MS)


@job(concurrency=1)
async def slow(payload: Slow) -> None:
    await work(payload.n)


@job(concurrency=1)
async def slow_keyed(payload: SlowKeyed) -> None:
    await work(payload.n)
