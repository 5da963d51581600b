"""What has a limit of the cluster gets its turn also while others would take every slot."""

from __future__ import annotations

import pytest
from steps import cluster_of, for_a_while, pass_time, send, time_now

from streams import JobPayload, RateLimit, job


class Rated(JobPayload, name="rated_beside"):
    n: int


class Slotted(JobPayload, name="slotted_beside"):
    n: int


class Busy(JobPayload, name="busy_beside"):
    n: int


starts: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def nothing_yet(all_ends: None) -> None:
    starts.clear()


async def start(what: str) -> None:
    starts.append((what, time_now()))
    await for_a_while(100)


@job(rate_limit=RateLimit(20, per="1s"))
async def rated_beside(payload: Rated) -> None:
    await start("limited")


@job(cluster_concurrency=3)
async def slotted_beside(payload: Slotted) -> None:
    await start("limited")


@job
async def busy_beside(payload: Busy) -> None:
    await start("busy")


@pytest.mark.parametrize("ahead", [0, 100])
@pytest.mark.parametrize("payload", [Rated, Slotted])
async def test_it_is_not_starved_by_what_needs_no_asking(
    payload: type[Rated | Slotted], ahead: int
):
    cluster = cluster_of(rated_beside, slotted_beside, busy_beside, partitions=2)
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
