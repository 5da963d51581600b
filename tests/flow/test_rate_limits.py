"""Rates: never more starts than allowed in any window of time, in all workers together."""

from __future__ import annotations

import asyncio
import random
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import pytest

from streams import JobPayload, RateLimit, job
from streams.jobs.registry import Registry
from streams.jobs.states import State
from streams.testing.cluster import MemoryCluster
from streams.testing.sandbox import Sandbox
from streams.wire.envelope import Envelope, encode
from streams.worker.ports import Append


class Limited(JobPayload, name="limited", key="k"):
    k: int
    n: int


class Loose(JobPayload, name="loose_limited"):
    n: int


class Other(JobPayload, name="unlimited"):
    n: int


starts: list[tuple[int, str]] = []
box_now: list[Any] = []


def note(what: str) -> None:
    starts.append((box_now[0].cluster.clock.now(), what))


@job(rate_limit=RateLimit(5, per="1m"))
async def limited(payload: Limited) -> None:
    note(f"limited {payload.k} {payload.n}")


@job(rate_limit=RateLimit(10, per="1s"))
async def loose_limited(payload: Loose) -> None:
    note(f"loose {payload.n}")


@job
async def unlimited(payload: Other) -> None:
    note(f"other {payload.n}")


def most_in_any_window(times: Sequence[int], ms: int) -> int:
    """The most starts in [t, t + ms) for any t."""
    times = sorted(times)
    first = most = 0
    for last, time in enumerate(times):
        while times[first] <= time - ms:
            first += 1
        most = max(most, last - first + 1)
    return most


async def test_a_rate_is_kept_and_used_and_holds_nobody_else_up():
    starts.clear()
    async with Sandbox(limited, loose_limited, unlimited) as box:
        box_now[:] = [box]
        for n in range(30):
            await box.enqueue(Limited(k=n % 3, n=n))
        await box.enqueue(Other(n=1))
        assert len(starts) == 6  # five of them, and who has nothing to do with it
        held = [
            pipeline.watermark.held
            for worker in box.cluster.workers
            for pipeline in worker.engine.queues.values()
        ]
        assert set(held) == {0}
        await box.advance("10m")
        times = [at for at, what in starts if what.startswith("limited")]
        assert len(times) == 30
        assert most_in_any_window(times, 60_000) == 5
        assert times[-1] - times[0] <= 5 * 60_000 / 0.9
        for k in range(3):
            numbers = [int(w.split()[2]) for _, w in starts if w.startswith(f"limited {k} ")]
            assert numbers == sorted(numbers)
        assert len(box.jobs(state=State.COMPLETED)) == 31


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("near_ms", [0, 10_000])
async def test_a_rate_is_kept_through_crashes_and_rebalances(seed: int, near_ms: int):
    rng = random.Random(seed)
    starts.clear()
    handlers = (limited, loose_limited, unlimited)
    registry = Registry.build([each.__job_definition__ for each in handlers], ["default"])
    cluster = MemoryCluster(registry, partitions=4)
    cluster.near_ms = near_ms
    box_now[:] = [Namespace(cluster=cluster)]
    names = iter(range(1_000))

    async def start() -> None:
        await cluster.start_worker(f"w{next(names)}")

    await start()
    await start()
    count, sent = 600, 0
    ends = cluster.clock.now() + 600_000
    while cluster.clock.now() < ends:
        for _ in range(min(rng.choice([0, 0, 1, 2, 80]), count - sent)):
            payload: JobPayload = (
                Limited(k=rng.randrange(5), n=sent) if sent % 8 == 0 else Loose(n=sent)
            )
            key = f"limited:{payload.k}" if isinstance(payload, Limited) else f"j{sent}"
            envelope = Envelope(
                id=f"j{sent}",
                name=payload.__job_name__,
                source="test",
                time=cluster.clock.now(),
                payload=payload.model_dump_json().encode(),
                key=str(payload.k) if isinstance(payload, Limited) else None,
                queue="default",
            )
            _, value, headers = encode(envelope)
            topic = cluster.names.queue("default")
            place = cluster.partition_of(key.encode())
            cluster.log.write(Append(topic, place, key.encode(), value, headers))
            sent += 1
        what = rng.random()
        if what < 0.02 and len(cluster.workers) > 1:
            await cluster.kill(rng.choice(cluster.workers))
        elif what < 0.04 and len(cluster.workers) < 4:
            await start()
        await pass_time(cluster, cluster.clock.now() + rng.randrange(1, 4_000))
    while over(cluster) < count:
        if not cluster.workers:
            await start()
        await pass_time(cluster, cluster.clock.now() + 5_000)
        assert cluster.clock.now() < ends + 3_600_000
    for what_, most, per in (("limited", 5, 60_000), ("loose", 10, 1_000)):
        times = [at for at, what in starts if what.startswith(what_)]
        assert most_in_any_window(times, per) <= most


def over(cluster: MemoryCluster) -> int:
    ledger = cluster.latest(cluster.names.ledger("default"))
    return sum(not key.startswith(b"#") for key in ledger)


async def pass_time(cluster: MemoryCluster, until: int) -> None:
    """Let time pass without waiting for what waits for a rate."""
    while cluster.clock.now() < until:
        for _ in range(40):
            for worker in cluster.workers:
                worker.pump()
            await asyncio.sleep(0)
        due = cluster.clock.next_alarm()
        cluster.clock.set(until if due is None else min(max(due, cluster.clock.now() + 1), until))
