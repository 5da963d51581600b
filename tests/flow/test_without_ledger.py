"""Jobs with ledger=False: what completes leaves nothing, all else is kept as for any job."""

from __future__ import annotations

from streams import Fixed, JobContext, JobPayload, Retry, job
from streams.testing.sandbox import Sandbox


class Bulk(JobPayload, name="bulk", key="account"):
    account: int
    n: int = 0


async def test_a_job_that_completes_leaves_no_record_and_is_acknowledged():
    ran: list[int] = []

    @job(ledger=False, ordering="none")
    async def bulk(payload: Bulk) -> None:
        ran.append(payload.n)

    async with Sandbox(bulk, partitions=1) as box:
        for n in range(3):
            await box.enqueue(Bulk(account=1, n=n), id=str(n))
        assert ran == [0, 1, 2]
        assert box.jobs() == []
        await box.advance("1s")
        assert box.cluster.commits[("jobs.default", 0)] == 3
        # and the same id runs again
        await box.enqueue(Bulk(account=1, n=0), id="0")
        assert ran == [0, 1, 2, 0]


async def test_one_that_was_retried_leaves_nothing_either():
    attempts: list[int] = []

    @job(ledger=False, ordering="none", retry=Retry(attempts=3, backoff=Fixed("1s")))
    async def bulk(payload: Bulk, ctx: JobContext) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ValueError("once")

    async with Sandbox(bulk, partitions=1) as box:
        await box.enqueue(Bulk(account=1))
        await box.advance("2s")
        assert attempts == [1, 2]
        assert box.jobs() == []
        assert set(box.cluster.latest("jobs.default.ledger")) == {b"#at-work"}  # no job's


async def test_one_that_dies_is_a_dead_letter_and_one_that_is_cancelled_is_told():
    @job(ledger=False, ordering="none", retry=Retry(attempts=1))
    async def bulk(payload: Bulk) -> None:
        raise ValueError("always")

    async with Sandbox(bulk, partitions=1) as box:
        await box.enqueue(Bulk(account=1))
        await box.cancel(await box.enqueue(Bulk(account=2), delay="10m"))
        assert len(box.jobs(state="dead")) == 1
        assert len(box.jobs(state="cancelled")) == 1
        assert len(box.cluster.latest("jobs.dead")) == 1
