"""What is trimmed, and what never is."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from streams import JobPayload, job
from streams.testing.sandbox import Sandbox
from streams.worker.trimming import Kept, Seen, acknowledged_cut, ledger_cut

HOUR = 3_600_000


class Loose(JobPayload, name="loose"):
    n: int


class Step(JobPayload, name="step", key="account"):
    account: int


@given(
    newer=st.one_of(st.none(), st.integers(0, 100)),
    end=st.integers(100, 200),
    commit=st.integers(0, 200),
)
def test_nothing_is_trimmed_that_is_young_or_not_acknowledged(
    newer: int | None, end: int, commit: int
):
    seen = Seen(newer=newer, end=end)
    cut = acknowledged_cut(seen, commit)
    assert cut <= commit
    assert cut <= end
    assert newer is None or cut <= newer


def test_the_ledger_is_kept_while_an_old_job_of_the_queue_is_not_acknowledged():
    ledger = Seen(newer=None, end=50)
    assert ledger_cut(ledger, Seen(newer=None, end=10), commit=9) == 0
    assert ledger_cut(ledger, Seen(newer=None, end=10), commit=10) == 50
    assert ledger_cut(ledger, Seen(newer=7, end=10), commit=8) == 50


async def test_old_records_go_and_what_is_young_or_open_stays():
    held = asyncio.Event()
    ran: list[int] = []

    @job
    async def loose(payload: Loose) -> None:
        ran.append(payload.n)
        if payload.n == 3:
            await held.wait()

    async with Sandbox(loose, partitions=1) as box:
        (worker,) = box.cluster.workers
        kept = Kept(queue_ms=24 * HOUR, ledger_ms=72 * HOUR)
        log = box.cluster.log
        await box.enqueue(Loose(n=0), id="old")
        await box.advance("71h")
        await box.enqueue(Loose(n=1), id="younger")
        await box.advance("2h")
        # when it is trimmed
        await worker.engine.trimmer.trim_all(kept)
        # then the ledger of the old one is gone from topic and disk, and its queue record too
        pipeline = worker.engine.queues[("default", 0)]
        assert log.starts[("jobs.default", 0)] == 1
        assert len(box.jobs(state="completed")) == 1
        assert len(list(pipeline.tables.store.scan("ledger", b"", None))) == 1
        # and a worker without a disk knows the younger one only
        await box.cluster.kill(worker)
        box.cluster.lose_disks()
        box._worker = await box.cluster.start_worker("w2")
        await box.enqueue(Loose(n=2), id="younger")
        await box.enqueue(Loose(n=2), id="old")
        assert ran == [0, 1, 2]
        held.set()
