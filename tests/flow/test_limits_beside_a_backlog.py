"""What has a limit of the cluster gets its turn also while others would take every slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from steps import send

from streams import JobPayload, RateLimit, job
from streams.jobs.registry import Registry
from streams.testing.cluster import MemoryCluster


class Rated(JobPayload, name="rated_beside"):
    n: int


class Slotted(JobPayload, name="slotted_beside"):
    n: int


class Busy(JobPayload, name="busy_beside"):
    n: int


clusters: list[MemoryCluster] = []
starts: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
async def all_ends() -> AsyncIterator[None]:
    clusters.clear()
    starts.clear()
    yield
    for cluster in clusters:
        for worker in list(cluster.workers):
            await cluster.kill(worker)
    clusters.clear()  # what they had in hand goes with them


async def for_a_while(what: str) -> None:
    clock = clusters[0].clock
    starts.append((what, clock.now()))
    over = asyncio.Event()
    alarm = clock.call_at(clock.now() + 100, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()


@job(rate_limit=RateLimit(20, per="1s"))
async def rated_beside(payload: Rated) -> None:
    await for_a_while("limited")


@job(cluster_concurrency=3)
async def slotted_beside(payload: Slotted) -> None:
    await for_a_while("limited")


@job
async def busy_beside(payload: Busy) -> None:
    await for_a_while("busy")


async def pass_time(cluster: MemoryCluster, ms: int) -> None:
    until = cluster.clock.now() + ms
    while cluster.clock.now() < until:
        for _ in range(40):
            for worker in cluster.workers:
                worker.pump()
            await asyncio.sleep(0)
        due = cluster.clock.next_alarm()
        cluster.clock.set(until if due is None else min(max(due, cluster.clock.now() + 1), until))


@pytest.mark.parametrize("ahead", [0, 100])
@pytest.mark.parametrize("payload", [Rated, Slotted])
async def test_it_is_not_starved_by_what_needs_no_asking(
    payload: type[Rated | Slotted], ahead: int
):
    handlers = (rated_beside, slotted_beside, busy_beside)
    registry = Registry.build([each.__job_definition__ for each in handlers], ["default"])
    cluster = MemoryCluster(registry)
    clusters[:] = [cluster]
    cluster.concurrency = 10
    for n in range(2_000):  # 20 seconds of all slots
        if n == ahead:
            for other in range(40):
                send(cluster, payload(n=other), f"limited-{other}")
        send(cluster, Busy(n=n), f"busy-{n}")
    began = cluster.clock.now()
    await cluster.start_worker("w1")
    await pass_time(cluster, 10_000)
    limited = [at - began for what, at in starts if what == "limited"]
    busy = [at - began for what, at in starts if what == "busy"]
    assert len(limited) == 40
    assert limited[-1] < 6_000
    assert len(busy) > 500
