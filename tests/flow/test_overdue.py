"""After an outage what is overdue runs in due order, and does not bury what is due now."""

from __future__ import annotations

import random

import pytest
from steps import cluster_of, for_a_while, pass_time, rest, send, time_now

from streams import JobPayload, job
from streams.testing.cluster import MemoryCluster
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
