"""Concurrency of a definition in the whole cluster: never more at once, whoever comes and goes."""

from __future__ import annotations

import asyncio
import random

import pytest
from steps import cluster_of, for_a_while, over, pass_time, send

from streams import JobPayload, job
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox


class Export(JobPayload, name="export", key="k"):
    k: int
    ms: int = 3_000


class Note(JobPayload, name="note"):
    n: int


class Instant(JobPayload, name="instant"):
    n: int


running: list[int] = []
most_at_once: list[int] = []
notes: list[int] = []


@pytest.fixture(autouse=True)
def nothing_yet(all_ends: None) -> None:
    for each in (running, most_at_once, notes):
        each.clear()


@job(cluster_concurrency=3, timeout="1h")
async def export(payload: Export) -> None:
    running.append(payload.k)
    most_at_once.append(len(running))
    try:
        await for_a_while(payload.ms)
    finally:
        running.remove(payload.k)


@job(cluster_concurrency=1)
async def instant(payload: Instant) -> None: ...


@job
async def note(payload: Note) -> None:
    notes.append(payload.n)


async def test_two_workers_share_the_slots_and_nobody_else_waits_for_them():
    cluster = cluster_of(export, note)
    for name in ("a", "b"):
        await cluster.start_worker(name)
    for k in range(40):
        send(cluster, Export(k=k), f"{k}")
        send(cluster, Note(n=k), f"note-{k}")
    await pass_time(cluster, 2_000)
    assert len(notes) == 40 and len(running) == 3
    await pass_time(cluster, 48_000)
    assert over(cluster) == 80 and max(most_at_once) == 3
    # then they are given back, and asked for again at once
    await pass_time(cluster, 5_000)
    held = [w.engine.executor._limits.of_cluster["slots:export"].granted for w in cluster.workers]
    assert held == [0, 0]
    send(cluster, Export(k=1, ms=1), "later")
    await pass_time(cluster, 300)
    assert over(cluster) == 81


@pytest.mark.parametrize("near_ms", [0, 10_000])
async def test_slots_of_a_killed_worker_are_free_after_its_lease(near_ms: int):
    cluster = cluster_of(export)
    cluster.near_ms = near_ms
    first = await cluster.start_worker("a")
    for k in range(3):
        send(cluster, Export(k=k, ms=1_000_000), f"{k}")
    await pass_time(cluster, 1_000)
    assert len(running) == 3
    await cluster.kill(first)
    assert not running
    await cluster.start_worker("b")
    await pass_time(cluster, 25_000)
    assert not running  # it might have been cut off only, and run them still
    await pass_time(cluster, 10_000)
    assert len(running) == 3


async def test_a_worker_that_leaves_gives_its_slots_back_at_once():
    cluster = cluster_of(export)
    first = await cluster.start_worker("a")
    for k in range(40):
        send(cluster, Export(k=k, ms=2_000), f"{k}")
    await pass_time(cluster, 1_000)
    leaving = asyncio.create_task(first.leave())
    await pass_time(cluster, 4_000)
    await leaving
    cluster.workers.remove(first)
    assert not running
    await cluster.start_worker("b")
    await pass_time(cluster, 1_500)
    assert len(running) == 3


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("near_ms", [0, 10_000])
async def test_it_is_kept_through_crashes_and_rebalances(seed: int, near_ms: int):
    rng = random.Random(seed)
    cluster = cluster_of(export, note)
    cluster.near_ms = near_ms
    names = iter(range(1_000))
    for _ in range(2):
        await cluster.start_worker(f"w{next(names)}")
    jobs = [Export(k=k % 50, ms=rng.choice([1, 50, 2_000, 9_000])) for k in range(300)]
    left = list(enumerate(jobs))
    while left or over(cluster) < len(jobs):
        for _ in range(min(rng.choice([0, 1, 2, 40]), len(left))):
            n, payload = left.pop(0)
            send(cluster, payload, f"{n}")
        what = rng.random() if left else 1.0
        if what < 0.04 and len(cluster.workers) > 1:
            await cluster.kill(rng.choice(cluster.workers))
        elif what < 0.08 and len(cluster.workers) < 4:
            await cluster.start_worker(f"w{next(names)}")
        elif what < 0.11 and len(cluster.workers) > 1:
            leaving = rng.choice(cluster.workers)
            left_at = asyncio.create_task(leaving.leave())
            await pass_time(cluster, 30_000)
            await left_at
            cluster.workers.remove(leaving)
        await pass_time(cluster, rng.randrange(1, 8_000))
        assert cluster.clock.now() < 10**13
    assert max(most_at_once) == 3


async def test_in_the_sandbox_jobs_that_end_at_once_need_no_time():
    async with Sandbox(instant) as box:
        for n in range(9):
            await box.enqueue(Instant(n=n))
        assert len(box.jobs(state=State.COMPLETED)) == 9


async def test_what_will_not_go_on_soon_leaves_the_hand_as_soon_as_that_is_known():
    cluster = cluster_of(export, note, partitions=1)
    for n in range(6_000):  # more than a partition has in hand
        send(cluster, Export(k=n, ms=3_600_000), f"{n}")
    send(cluster, Note(n=1))
    worker = await cluster.start_worker("w1")
    await pass_time(cluster, 10_000)
    assert len(running) == 3
    assert notes == [1]
    assert len(worker.engine.queues[("default", 0)].hand) < 500
