"""After an outage what is overdue runs in due order, and does not bury what is due now."""

from __future__ import annotations

import asyncio
import random

import pytest
from steps import cluster_of, for_a_while, pass_time, rest, send, time_now

from streams import JobPayload, job
from streams.testing.cluster import MemoryCluster
from streams.worker import openings
from streams.worker.openings import OVERDUE_MAX

STEP_MS = 100
SLOTS = 2
OVERDUE = 3 * OVERDUE_MAX
SECOND = 1_000

pytestmark = pytest.mark.usefixtures("all_ends")


class Slow(JobPayload, name="slow"):
    n: int
    at: int  # when it is due


class SlowOfKey(JobPayload, name="slow_of_key", key="n"):
    n: int
    at: int


started: list[tuple[int, int, int]] = []  # number, when it was due, when it started


@pytest.fixture(autouse=True)
def forget() -> None:
    started.clear()


@job
async def slow(payload: Slow) -> None:
    started.append((payload.n, payload.at, time_now()))
    await for_a_while(STEP_MS)


@job
async def slow_of_key(payload: SlowOfKey) -> None:
    started.append((payload.n, payload.at, time_now()))
    await for_a_while(STEP_MS)


def send_due(cluster: MemoryCluster, kind: type[Slow | SlowOfKey], n: int, delay: int) -> None:
    send(cluster, kind(n=n, at=time_now() + delay), f"id-{n}", delay=delay)


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("kind", [Slow, SlowOfKey])
@pytest.mark.parametrize("is_killed", [True, False])
async def test_a_backlog_of_what_is_overdue(
    is_killed: bool, kind: type[Slow | SlowOfKey], partitions: int
):
    cluster = cluster_of(slow, slow_of_key, partitions=partitions)
    cluster.concurrency = SLOTS
    rng = random.Random(partitions)
    # given jobs that a worker took over, and which come due while there is none
    worker = await cluster.start_worker("w")
    for n in range(OVERDUE):
        send_due(cluster, kind, n, rng.randint(60 * SECOND, 120 * SECOND))
    while len(cluster.latest(cluster.names.retry("default"))) < OVERDUE:
        await rest(cluster)
    await (cluster.kill(worker) if is_killed else worker.leave())
    if not is_killed:
        cluster.workers.remove(worker)
    cluster.clock.set(time_now() + 600 * SECOND)
    # when there is one again, for which something is due each second as well
    came_back = time_now()
    for n in range(60):
        send_due(cluster, kind, OVERDUE + n, (5 + n) * SECOND)
    await cluster.start_worker("w")
    await pass_time(cluster, 66 * SECOND)
    # then that is hardly late
    late = [at - due for n, due, at in started if n >= OVERDUE]
    assert len(late) == 60
    assert max(late) <= 3 * STEP_MS
    # and what is overdue goes on beside it, in due order, with all slots that are left
    overdue = [due for _, due, _ in started if due < came_back]
    first = 6 * SLOTS  # which started before all partitions were open, and read so far
    assert overdue[first:] == sorted(overdue[first:])
    assert len(overdue) > 64 * SECOND // STEP_MS * SLOTS - 2 * 60


class Quiet(JobPayload, name="quiet", key="n"):
    n: int


@job(debounce="60s")
async def quiet(payload: Quiet) -> None:
    started.append((payload.n, 0, time_now()))


async def come_back(cluster: MemoryCluster, *, after: int) -> None:
    """Nobody is there for so long; what was sent before has been taken over."""
    worker = await cluster.start_worker("w")
    await rest(cluster)
    await worker.leave()
    cluster.workers.remove(worker)
    cluster.clock.set(time_now() + after)
    await cluster.start_worker("w")
    await rest(cluster)


async def test_debounced_jobs_that_wait_for_their_queue_to_be_read_are_all_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(openings, "OVERDUE_MAX", 5)
    cluster = cluster_of(slow, quiet, partitions=1)
    cluster.concurrency = 1
    for n in range(3):
        send(cluster, Quiet(n=n))
    for n in range(3, 20):  # behind them more than may be in hand
        send_due(cluster, Slow, n, 70 * SECOND + n)
    await come_back(cluster, after=600 * SECOND)
    await pass_time(cluster, 10 * SECOND)
    assert sorted(n for n, _, _ in started) == list(range(20))


async def test_a_clock_that_is_put_back_over_a_backlog_puts_it_off_and_loses_none(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(openings, "OVERDUE_MAX", 5)
    may_end = asyncio.Event()

    @job(name="slow")
    async def held(payload: Slow) -> None:
        started.append((payload.n, payload.at, time_now()))
        await may_end.wait()

    cluster = cluster_of(held, partitions=1)
    cluster.concurrency = 5
    for n in range(20):
        send_due(cluster, Slow, n, 60 * SECOND + n)
    await come_back(cluster, after=600 * SECOND)
    assert len(started) == 5
    cluster.clock._now -= 595 * SECOND
    may_end.set()
    await pass_time(cluster, 54 * SECOND)
    assert len(started) == 5
    await pass_time(cluster, 600 * SECOND)
    assert [n for n, _, _ in started] == list(range(20))
