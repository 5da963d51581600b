"""Throttled jobs: of each key the first one runs, those within the period are discarded."""

from __future__ import annotations

import asyncio

import pytest
from alike import Changed, Sync, dropped, in_memory, remembered, states
from steps import crash, restart, send, until

from streams import Discard, Fixed, JobContext, PermanentError, Retry, job
from streams.testing.sandbox import Sandbox
from streams.worker.trimming import Kept

ran: list[tuple[int, int]] = []
may_go_on = asyncio.Event()


@pytest.fixture(autouse=True)
def forget() -> None:
    global may_go_on
    ran.clear()
    may_go_on = asyncio.Event()


@job(throttle="1h", retry=Retry(attempts=3, backoff=Fixed("40m")))
async def sync(payload: Sync, ctx: JobContext) -> None:
    ran.append((payload.account, payload.n))
    match payload.do:
        case "fail once" if ctx.attempt == 1:
            raise ValueError("first")
        case "give up":
            raise PermanentError("for good")
        case "discard":
            raise Discard("no need")
        case "wait":
            await may_go_on.wait()


@job(throttle="1h")
async def changed(event: Changed) -> None:
    ran.append((event.account, event.n))


async def test_the_first_one_runs_and_those_within_the_period_are_told_why_not():
    async with Sandbox(sync) as box:
        # when jobs of two keys come, at once and until the period is over
        for n in range(3):
            for account in (1, 2):
                await box.enqueue(Sync(account=account, n=n), id=f"{account}-{n}")
        await box.advance("59m")
        await box.enqueue(Sync(account=1, n=3), id="1-3")
        await box.advance("1m")
        await box.enqueue(Sync(account=1, n=4), id="1-4")
        # then the first ones ran, and the first one after it
        assert ran == [(1, 0), (2, 0), (1, 4)]
        assert dropped(box) == {
            "1-1": "throttled: 1-0 of this key came first",
            "1-2": "throttled: 1-0 of this key came first",
            "1-3": "throttled: 1-0 of this key came first",
            "2-1": "throttled: 2-0 of this key came first",
            "2-2": "throttled: 2-0 of this key came first",
        }
        # and each one is on record
        assert len(box.jobs(state="completed")) == 3


@pytest.mark.parametrize("loses_disk", [False, True])
async def test_the_period_goes_on_after_a_crash(loses_disk: bool):
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0), id="0")
        await restart(box, loses_disk=loses_disk)
        await box.enqueue(Sync(account=1, n=1), id="1")
        assert dropped(box) == {"1": "throttled: 0 of this key came first"}
        await box.advance("1h")
        await restart(box, loses_disk=loses_disk)
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 0), (1, 2)]


async def test_a_crash_while_the_first_one_runs_changes_nothing():
    async with Sandbox(sync, partitions=1) as box:
        # given that others were dropped because of one that runs still, and that it runs again
        first = asyncio.create_task(box.enqueue(Sync(account=1, do="wait"), id="0"))
        await until(lambda: bool(ran))
        more = asyncio.create_task(box.enqueue(Sync(account=1, n=1), id="1"))
        await until(lambda: "1" in dropped(box))
        for task in (first, more):
            task.cancel()
        await crash(box)
        may_go_on.set()
        await box.cluster.settle()
        # then it is that one which runs
        assert ran == [(1, 0), (1, 0)]
        assert states(box) == {"0": "completed", "1": "discarded"}


async def test_what_came_later_is_no_reason_to_drop_what_comes_again():
    async with Sandbox(sync_loose, partitions=1) as box:
        # given a job that runs, and one that came after the period and is over
        first = asyncio.create_task(box.enqueue(Sync(account=1, do="wait"), id="0"))
        await until(lambda: bool(ran))
        box.cluster.clock.set(box.cluster.clock.now() + 1_500)
        later = asyncio.create_task(box.enqueue(Sync(account=1, n=1), id="1"))
        await until(lambda: states(box) == {"1": "completed"})
        for task in (first, later):
            task.cancel()
        # when a crash brings the first one back
        await crash(box)
        may_go_on.set()
        await box.cluster.settle()
        # then it runs
        assert states(box) == {"0": "completed", "1": "completed"}


@job(throttle="1s", ordering="none", name="sync")
async def sync_loose(payload: Sync) -> None:
    await sync(payload, None)


async def test_one_that_waits_to_be_retried_counts_from_its_sending():
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0, do="fail once"), id="0")
        await restart(box, loses_disk=True)
        await box.enqueue(Sync(account=1, n=1), id="1")
        assert states(box) == {"0": "retrying", "1": "discarded"}
        await box.advance("1h")
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 0), (1, 0), (1, 2)]


@pytest.mark.parametrize("do", ["give up", "discard"])
async def test_one_that_ran_and_failed_counts(do: str):
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, do=do), id="0")
        await box.enqueue(Sync(account=1, n=1), id="1")
        assert dropped(box)["1"] == "throttled: 0 of this key came first"
        assert ran == [(1, 0)]


@pytest.mark.parametrize("loses_disk", [False, True])
async def test_one_that_was_cancelled_before_it_ran_holds_nobody_up(loses_disk: bool):
    async with Sandbox(sync, partitions=1) as box:
        first = await box.enqueue(Sync(account=1, n=0), id="0", delay="30m")
        await box.enqueue(Sync(account=1, n=1), id="1")
        assert states(box) == {"0": "scheduled", "1": "discarded"}
        await box.cancel(first)
        if loses_disk:
            await restart(box, loses_disk=True)
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 2)]
        await box.advance("1h")
        assert ran == [(1, 2)]


async def test_a_delayed_one_counts_from_its_sending():
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0), id="0", delay="30m")
        await box.enqueue(Sync(account=1, n=1), id="1")
        await box.advance("1h")
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 0), (1, 2)]


async def test_an_event_starts_one_job_of_each_key():
    async with Sandbox(changed) as box:
        for n in range(3):
            for account in (1, 2):
                await box.emit(Changed(account=account, n=n))
        assert ran == [(1, 0), (2, 0)]
        assert len(dropped(box)) == 4


async def test_the_same_id_again_leaves_the_record_of_the_first_one():
    @job(throttle="1h", unique_for="0s", name="sync")
    async def again(payload: Sync) -> int:
        ran.append((payload.account, payload.n))
        return payload.n

    async with Sandbox(again, partitions=1) as box:
        first = await box.enqueue(Sync(account=1, n=7), id="0")
        await box.advance("1m")
        await box.enqueue(Sync(account=1, n=8), id="0")
        assert box.result(first) == 7
        assert ran == [(1, 7)]


async def test_idle_keys_leave_nothing_in_memory_and_their_rows_go_with_the_ledger():
    async with Sandbox(sync, partitions=1) as box:
        for account in range(10_000):
            send(box.cluster, Sync(account=account), str(account))
        await box.cluster.settle()
        assert len(ran) == 10_000
        assert in_memory(box) == 0
        assert remembered(box) == 10_000
        # when the ledger is trimmed
        await box.advance("2h")
        (worker,) = box.cluster.workers
        await worker.engine.trimmer.trim_all(Kept(queue_ms=3_600_000, ledger_ms=3_600_000))
        # then the rows are gone
        assert remembered(box) == 0
