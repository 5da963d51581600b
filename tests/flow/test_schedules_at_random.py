"""Whoever crashes, leaves or comes: each tick of a schedule is one job, and none is lost."""

from __future__ import annotations

import asyncio
import random

import orjson
import pytest
from steps import cluster_of, pass_time, time_now

from streams import Cron, Every, Tick, job
from streams.cron.ticks import tick_id, ticks_between
from streams.testing.cluster import MemoryCluster
from streams.wire.schedules import decode_ticked

pytestmark = pytest.mark.usefixtures("all_ends")

ALL = 10_000


EACH = Every("3s", jitter="2s", missed="run_all", most=ALL, overlap="queue")
EVEN = Cron("*/2 * * * * *", missed="run_all", most=ALL, overlap="allow")


@job(name="put_off", cron=EACH)
async def put_off(tick: Tick) -> None: ...


@job(name="even", cron=EVEN)
async def even(tick: Tick) -> None: ...


def ended(cluster: MemoryCluster, name: str) -> list[str]:
    """The ids of the jobs of a schedule that are over, once for each record."""
    return [
        orjson.loads(record.key or b"")[2]
        for record in cluster.log.records(cluster.names.ledger("default"))
        if record.value is not None and (record.key or b"").startswith(f'["{name}"'.encode())
    ]


@pytest.mark.parametrize("seed", range(12))
async def test_each_tick_is_one_job(seed: int):
    rng = random.Random(seed)
    cluster = cluster_of(put_off, even, partitions=2)
    began = time_now()
    await cluster.start_worker("w0")
    await pass_time(cluster, 1)
    for n in range(1, 16):
        await pass_time(cluster, rng.choice((1, 40, 900, 1_000, 2_000, 7_000, 20_000)))
        match rng.choice(("kill", "leave", "join", "outage", *["stop at once"] * 3)):
            case "join" if len(cluster.workers) < 3:
                await cluster.start_worker(f"w{n}")
            case "kill" if cluster.workers:
                await cluster.kill(rng.choice(cluster.workers))
            case "leave" if cluster.workers:
                leaving = rng.choice(cluster.workers)
                left = asyncio.create_task(leaving.leave())
                await pass_time(cluster, 30_000)
                await left
                cluster.workers.remove(leaving)
            case "outage":
                for worker in list(cluster.workers):
                    await cluster.kill(worker)
                cluster.clock.set(time_now() + rng.choice((500, 5_000, 120_000)))
            case "stop at once" if cluster.workers:
                # In the middle of a tick: between its job and its record, say.
                cluster.clock.set(time_now() // 2_000 * 2_000 + 2_000)
                for _ in range(rng.randint(0, 8)):
                    await asyncio.sleep(0)
                for worker in list(cluster.workers):
                    await cluster.kill(worker)
        if not cluster.workers:
            await cluster.start_worker(f"w{n}")
    await pass_time(cluster, 40_000)
    for name, schedule in (("put_off", EACH), ("even", EVEN)):
        last = decode_ticked(cluster.latest(cluster.names.control)[f"cron:{name}".encode()]).last
        assert last > time_now() - 10_000
        wanted = [tick_id(name, tick) for tick in ticks_between(schedule, began, last)]
        found = ended(cluster, name)
        assert len(wanted) > 10
        assert sorted(found) == sorted(wanted)
