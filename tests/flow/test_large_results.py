"""Results that are too large to be kept with their job."""

from __future__ import annotations

from streams import Fixed, JobPayload, Retry, job
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.wire.state import LedgerRecord, OpenEntry
from streams.worker.results import RESULT_MAX, STORED_MAX


class Report(JobPayload, name="report", key="n"):
    n: int = 0
    size: int


@job(retry=Retry(attempts=2, backoff=Fixed("1s")))
async def report(payload: Report) -> str:
    return "x" * (payload.size - 2)  # with its quotes


async def test_a_result_over_the_bound_is_an_object_and_the_job_keeps_a_reference():
    async with Sandbox(report) as box:
        small = await box.enqueue(Report(size=RESULT_MAX))
        large = await box.enqueue(Report(size=RESULT_MAX + 1))
        kept = {over.job: over for over in box.jobs(state=State.COMPLETED)}
        first, second = kept[small.job], kept[large.job]
        assert isinstance(first, LedgerRecord) and isinstance(second, LedgerRecord)
        assert first.result is not None and first.stored is None
        assert second.result is None and second.stored is not None
        assert second.stored.size == RESULT_MAX + 1
        assert list(box.cluster.objects.kept) == [second.stored.path]
        assert box.result(large) == "x" * (RESULT_MAX - 1)


async def test_a_result_that_is_too_large_for_that_fails_its_attempt():
    async with Sandbox(report) as box:
        await box.enqueue(Report(size=STORED_MAX + 1))
        await box.advance("1s")
        (dead,) = box.jobs(state=State.DEAD)
        assert isinstance(dead, OpenEntry) and dead.failure is not None
        assert dead.failure.message == (
            f"the result has {STORED_MAX + 1} bytes, the limit is {STORED_MAX}: "
            "store it elsewhere and return a reference"
        )
        assert box.cluster.objects.kept == {}


async def test_object_storage_that_does_not_answer_is_tried_again():
    async with Sandbox(report) as box:
        put = box.cluster.objects.put

        async def refuse(path: str, value: bytes) -> None:
            raise OSError("no route to it")

        box.cluster.objects.put = refuse  # type: ignore[method-assign]
        key = await box.enqueue(Report(size=RESULT_MAX + 1))
        (waits,) = box.jobs(state=State.RETRYING)
        assert isinstance(waits, OpenEntry) and waits.failure is not None
        assert waits.failure.message == "no route to it"
        box.cluster.objects.put = put  # type: ignore[method-assign]
        await box.advance("1s")
        assert len(box.result(key)) == RESULT_MAX - 1


async def test_an_object_is_removed_when_it_is_older_than_the_ledger():
    async with Sandbox(report) as box:
        await box.enqueue(Report(size=RESULT_MAX + 1))
        (worker,) = box.cluster.workers
        kept_at = box.cluster.clock.now()
        await worker.engine.results.sweep(kept_at)
        assert len(box.cluster.objects.kept) == 1
        await worker.engine.results.sweep(kept_at + 1)
        assert box.cluster.objects.kept == {}
