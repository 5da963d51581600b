"""Rates: never more starts than allowed in any window of time, in all workers together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from steps import cluster_of, clusters, for_a_while, over, pass_time, send, time_now
from windows import most_in_any_window

from streams import Fixed, JobContext, JobPayload, RateLimit, Retry, job
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.worker.control import pause_record
from streams.worker.limit_log import LimitLog
from streams.worker.ports import Append


class Limited(JobPayload, name="limited", key="k"):
    k: int
    n: int


class Loose(JobPayload, name="loose_limited"):
    n: int


class OfKey(JobPayload, name="of_key_limited", key="k"):
    k: int
    n: int
    fails: int = 0


class Aside(JobPayload, name="aside_limited", key="k"):
    k: int
    n: int


class Hourly(JobPayload, name="hourly", key="k"):
    k: int


class Few(JobPayload, name="few_an_hour"):
    n: int


class Other(JobPayload, name="unlimited"):
    n: int


starts: list[tuple[int, str]] = []


@pytest.fixture(autouse=True)
def nothing_yet(all_ends: None) -> None:
    starts.clear()


def note(what: str) -> None:
    starts.append((time_now(), what))


@job(rate_limit=RateLimit(5, per="1m"))
async def limited(payload: Limited) -> None:
    note(f"limited {payload.k} {payload.n}")


@job(rate_limit=RateLimit(10, per="1s"))
async def loose_limited(payload: Loose) -> None:
    note(f"loose {payload.n}")


@job(rate_limit=RateLimit(2, per="10s", by="key"), retry=Retry(attempts=3, backoff=Fixed("1s")))
async def of_key_limited(payload: OfKey, ctx: JobContext) -> None:
    note(f"key {payload.k} {payload.n}")
    if ctx.attempt <= payload.fails:
        raise ValueError("as the test says")


@job(rate_limit=RateLimit(3, per="5s", by="key"), ordering="none")
async def aside_limited(payload: Aside) -> None:
    note(f"aside {payload.k} {payload.n}")


@job(rate_limit=RateLimit(1, per="1h", by="key"), timeout="3h")
async def hourly(payload: Hourly) -> None:
    note(f"hourly {payload.k}")
    await asyncio.Event().wait()


@job(rate_limit=RateLimit(3, per="1h"))
async def few_an_hour(payload: Few) -> None:
    note(f"few {payload.n}")


@job
async def unlimited(payload: Other) -> None:
    note(f"other {payload.n}")


async def test_a_rate_is_kept_and_used_and_holds_nobody_else_up():
    async with Sandbox(limited, loose_limited, unlimited) as box:
        clusters[:] = [box.cluster]
        for n in range(30):
            await box.enqueue(Limited(k=n % 3, n=n))
        await box.enqueue(Other(n=1))
        assert len(starts) == 6  # five of them, and who has nothing to do with it
        await box.advance("12s")  # who waits near for so long is taken over where he is
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


async def pause(box: Sandbox, since: int | None) -> None:
    key, value = pause_record("default", since, "an outage")
    box.cluster.log.write(Append(box.cluster.names.control, 0, key, value))
    for worker in box.cluster.workers:
        await worker.engine.look_at_control()


async def test_a_queue_that_is_paused_uses_up_no_starts_of_its_rates():
    async with Sandbox(few_an_hour, unlimited) as box:
        clusters[:] = [box.cluster]
        for n in range(12):
            await box.enqueue(Few(n=n))
        assert len(starts) == 3
        await pause(box, 1)
        for _ in range(150):
            await pass_time(box.cluster, 60_000)
            for worker in box.cluster.workers:  # other queues have work meanwhile
                worker.engine.executor.go_on()
        assert len(starts) == 3
        await pause(box, None)
        await pass_time(box.cluster, 5_000)
        assert len(starts) == 6


async def test_a_log_of_asks_that_was_made_anew_stops_nobody():
    cluster = cluster_of(loose_limited, partitions=2)
    worker = await cluster.start_worker()
    asks = cluster.log.topics[(cluster.names.limits, 0)]
    for n in range(30):
        send(cluster, Loose(n=n))
        await pass_time(cluster, 1_500)
    assert len(starts) == 30
    # given a snapshot of what the log said that is gone
    await worker.engine.control.keep_snapshot_of_limits(worker.engine.asks._known.encode())
    asks.clear()
    # when a worker asks that has read it
    for n in range(30, 35):
        send(cluster, Loose(n=n))
    await pass_time(cluster, 2_000)
    assert len(starts) == 35
    # then there is another snapshot, before the log is as long as it was
    kept = LimitLog.decode(worker.engine.control.snapshot_of_limits())
    assert kept.position <= len(asks) < 30


@pytest.mark.parametrize("limit", ["concurrency", "cluster_concurrency"])
async def test_a_rate_is_used_though_no_more_than_one_of_its_jobs_runs_at_a_time(limit: str):
    @job(rate_limit=RateLimit(6, per="10s"), **{limit: 1})
    async def one_at_a_time(payload: Loose) -> None:
        note("one")
        await for_a_while(1_500)

    cluster = cluster_of(one_at_a_time, partitions=2)
    await cluster.start_worker()
    for n in range(100):
        send(cluster, Loose(n=n))
    await pass_time(cluster, 60_000)
    times = [at for at, _ in starts]
    assert most_in_any_window(times, 10_000) <= 6
    assert len(times) >= 0.9 * 6 * 6  # a start that is asked for and can't be used is lost


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("near_ms", [0, 10_000])
async def test_a_rate_is_kept_through_crashes_and_rebalances(seed: int, near_ms: int):
    payloads = [Limited(k=n % 5, n=n) if n % 8 == 0 else Loose(n=n) for n in range(600)]
    await run_through_faults(seed, near_ms, (limited, loose_limited), payloads)
    for what_, most, per in (("limited", 5, 60_000), ("loose", 10, 1_000)):
        times = [at for at, what in starts if what.startswith(what_)]
        assert most_in_any_window(times, per) <= most


async def run_through_faults(
    seed: int, near_ms: int, handlers: Sequence[Any], payloads: Sequence[JobPayload]
) -> None:
    """Send all of these, in bursts, while workers come and are killed, until all are over."""
    rng = random.Random(seed)
    cluster = cluster_of(*handlers)
    cluster.near_ms = near_ms
    names = iter(range(1_000))
    left = list(enumerate(payloads))

    async def start() -> None:
        await cluster.start_worker(f"w{next(names)}")

    await start()
    await start()
    ends = cluster.clock.now() + 600_000
    while cluster.clock.now() < ends:
        for _ in range(min(rng.choice([0, 0, 1, 2, 80]), len(left))):
            n, payload = left.pop(0)
            send(cluster, payload, f"j{n}")
        what = rng.random()
        if what < 0.02 and len(cluster.workers) > 1:
            await cluster.kill(rng.choice(cluster.workers))
        elif what < 0.04 and len(cluster.workers) < 4:
            await start()
        elif what < 0.05 and len(cluster.workers) > 1:
            leaving = rng.choice(cluster.workers)
            left_at = asyncio.create_task(leaving.leave())
            await pass_time(cluster, 30_000)
            await left_at
            cluster.workers.remove(leaving)
        await pass_time(cluster, rng.randrange(1, 4_000))
    while over(cluster) < len(payloads) or left:
        await pass_time(cluster, 5_000)
        assert cluster.clock.now() < ends + 3_600_000


@pytest.mark.parametrize("how", ["killed", "left", "moved"])
async def test_a_start_that_was_interrupted_counts_for_its_key_wherever_it_runs_next(how: str):
    cluster = cluster_of(hourly, partitions=2)
    first = await cluster.start_worker("w1")
    for k in range(4):
        send(cluster, Hourly(k=k), f"j{k}")
    await pass_time(cluster, 1_000)
    assert len(starts) == 4
    if how == "killed":
        await cluster.kill(first)
    elif how == "left":
        leaving = asyncio.create_task(first.leave())
        await pass_time(cluster, 60_000)
        await leaving
        cluster.workers.remove(first)
    await cluster.start_worker("w2")
    await pass_time(cluster, starts[0][0] + 3_600_000 - time_now())
    assert len(starts) == 4
    await pass_time(cluster, 200_000)
    moved = sum(len(pipeline.hand) for pipeline in cluster.workers[-1].engine.queues.values())
    assert 0 < len(starts) - 4 == moved


async def test_each_key_has_a_rate_of_its_own_which_retries_use_too():
    async with Sandbox(of_key_limited, aside_limited) as box:
        clusters[:] = [box.cluster]
        for n in range(6):
            for k in range(3):
                await box.enqueue(OfKey(k=k, n=n, fails=1 if k == 2 else 0))
                await box.enqueue(Aside(k=k, n=n))
        await box.advance("5m")
        for k in range(3):
            times = [at for at, what in starts if what.startswith(f"key {k} ")]
            assert len(times) == (12 if k == 2 else 6)
            assert most_in_any_window(times, 10_000) == 2
            assert times[-1] - times[0] <= 10_000 * (len(times) / 2 - 1) * 1.1
            numbers = [what for _, what in starts if what.startswith(f"key {k} ")]
            assert numbers == sorted(numbers)
            aside = [at for at, what in starts if what.startswith(f"aside {k} ")]
            assert len(aside) == 6 and most_in_any_window(aside, 5_000) == 3
        assert len(box.jobs(state=State.COMPLETED)) == 36
        limits = [worker.engine.executor._limits for worker in box.cluster.workers]
        assert all(list(each._limits) == [] for each in limits)  # idle keys take no memory
        assert {name for each in limits for name in each._groups} == {
            "rate:default:of_key_limited",
            "rate:default:aside_limited",
        }


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("near_ms", [0, 10_000])
async def test_rates_of_keys_are_kept_through_crashes_and_rebalances(seed: int, near_ms: int):
    payloads = [
        OfKey(k=n % 3, n=n, fails=n % 2) if n % 2 else Aside(k=n % 5, n=n) for n in range(120)
    ]
    await run_through_faults(seed, near_ms, (of_key_limited, aside_limited), payloads)
    for k in range(5):
        for kind, most, per in (("key", 2, 10_000), ("aside", 3, 5_000)):
            times = [at for at, what in starts if what.startswith(f"{kind} {k} ")]
            assert most_in_any_window(times, per) <= most


class Moved(JobPayload, name="moved", key="k"):
    k: int
    n: int


@pytest.mark.usefixtures("all_ends")
async def test_a_start_that_was_recorded_ahead_counts_from_when_it_was_when_its_partition_moves():
    starts: list[tuple[int, int, int]] = []

    @job(rate_limit=RateLimit(1, per="8s", by="key"))
    async def moved(payload: Moved) -> None:
        starts.append((payload.k, payload.n, time_now()))
        await for_a_while(60_000 if payload.n else 100)

    keys = range(12)
    # given jobs whose worker was killed, and which wait for the rate of their key after that
    cluster = cluster_of(moved)
    worker = await cluster.start_worker("a")
    for k in keys:
        for n in range(2):
            send(cluster, Moved(k=k, n=n), f"{k}-{n}")
    await pass_time(cluster, 1_000)
    await cluster.kill(worker)
    await cluster.start_worker("a")
    while sum(n for _, n, _ in starts) < len(keys):
        await pass_time(cluster, 100)
    # when partitions move once they run
    await cluster.start_worker("b")
    await pass_time(cluster, 20_000)
    # then they run again at the rate
    assert len(starts) > 2 * len(keys)
    for k in keys:
        of_key = [at for key, _, at in starts if key == k]
        assert most_in_any_window(of_key, 8_000) == 1
