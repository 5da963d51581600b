"""Unique jobs: while one waits or runs, others like it are discarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from alike import Changed, Sync, dropped, in_memory, remembered, states
from steps import crash, restart, send, until

from streams import (
    BatchCounts,
    Fixed,
    JobContext,
    JobPayload,
    PermanentError,
    RateLimit,
    Retry,
    Snooze,
    Unique,
    job,
)
from streams.testing.sandbox import Sandbox
from streams.worker.trimming import Kept

ran: list[tuple[int, int]] = []
may_go_on = asyncio.Event()


class Report(JobPayload, name="report", key="account"):
    account: int
    month: str
    n: int = 0


@pytest.fixture(autouse=True)
def forget() -> None:
    global may_go_on
    ran.clear()
    may_go_on = asyncio.Event()


async def run(payload: Sync, ctx: JobContext) -> None:
    ran.append((payload.account, payload.n))
    match payload.do:
        case "fail once" if ctx.attempt == 1:
            raise ValueError("first")
        case "give up":
            raise PermanentError("for good")
        case "snooze" if len(ran) == 1:
            raise Snooze("1h")
        case "fail, then wait" if ctx.attempt == 1:
            raise ValueError("first")
        case "wait" | "fail, then wait":
            await may_go_on.wait()


RETRY = Retry(attempts=2, backoff=Fixed("1m"))


@job(unique=Unique(by="key"), name="sync", retry=RETRY)
async def until_over(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


@job(unique=Unique(by="key", until="started"), name="sync", retry=RETRY)
async def until_started(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


@job(unique=Unique(by="key", for_="1h"), name="sync", retry=RETRY)
async def for_an_hour(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


@job(unique=Unique(by=("account", "month"), for_="1h"), ordering="none")
async def report(payload: Report) -> None:
    ran.append((payload.account, payload.n))


@job(unique=Unique(by="key", for_="1h"))
async def changed(event: Changed) -> None:
    ran.append((event.account, event.n))


@asynccontextmanager
async def while_it_runs(box: Sandbox, payload: Sync, id: str) -> AsyncIterator[None]:
    """Enqueue a job that waits until it may go on, and let it go on afterwards."""
    send(box.cluster, payload, id)
    running = asyncio.create_task(box.cluster.settle())
    await until(lambda: bool(ran))
    yield
    may_go_on.set()
    await running
    await box.cluster.settle()


async def test_while_one_runs_others_are_told_why_not():
    async with Sandbox(until_over, partitions=1) as box:
        async with while_it_runs(box, Sync(account=1, do="wait"), "0"):
            for n in (1, 2):
                send(box.cluster, Sync(account=1, n=n), str(n))
            send(box.cluster, Sync(account=2), "other")
            await until(lambda: len(dropped(box)) == 2 and (2, 0) in ran)
        assert dropped(box) == {"1": "unique: 0 is the same", "2": "unique: 0 is the same"}
        # and afterwards the next one runs
        await box.enqueue(Sync(account=1, n=3), id="3")
        assert ran == [(1, 0), (2, 0), (1, 3)]
        assert remembered(box) == 0


async def test_until_started_one_more_waits_behind_the_one_that_runs():
    async with Sandbox(until_started, partitions=1) as box:
        async with while_it_runs(box, Sync(account=1, do="wait"), "0"):
            for n in (1, 2, 3):
                send(box.cluster, Sync(account=1, n=n), str(n))
            await until(lambda: len(dropped(box)) == 2)
        assert dropped(box) == {"2": "unique: 1 is the same", "3": "unique: 1 is the same"}
        assert ran == [(1, 0), (1, 1)]


async def test_for_a_while_after_its_end_others_are_dropped_as_well():
    async with Sandbox(for_an_hour, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0), id="0")
        await box.advance("59m")
        await box.enqueue(Sync(account=1, n=1), id="1")
        await box.enqueue(Sync(account=2, n=1), id="other")
        await box.advance("1m")
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 0), (2, 1), (1, 2)]
        assert dropped(box) == {"1": "unique: 0 is the same"}


async def test_by_fields_only_those_are_the_same_that_have_the_same_values():
    async with Sandbox(report) as box:
        for n, month in enumerate(["may", "june", "may"]):
            for account in (1, 2):
                await box.enqueue(Report(account=account, month=month, n=n), id=f"{account}-{n}")
        assert sorted(ran) == [(1, 0), (1, 1), (2, 0), (2, 1)]
        assert dropped(box) == {"1-2": "unique: 1-0 is the same", "2-2": "unique: 2-0 is the same"}


@pytest.mark.parametrize("loses_disk", [False, True])
async def test_an_end_counts_after_a_crash(loses_disk: bool):
    async with Sandbox(for_an_hour, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0), id="0")
        await restart(box, loses_disk=loses_disk)
        await box.enqueue(Sync(account=1, n=1), id="1")
        await box.advance("1h")
        await restart(box, loses_disk=loses_disk)
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 0), (1, 2)]


@pytest.mark.parametrize("loses_disk", [False, True])
async def test_a_crash_while_one_runs_changes_nothing(loses_disk: bool):
    async with Sandbox(until_over, partitions=1) as box:
        send(box.cluster, Sync(account=1, do="wait"), "0")
        running = asyncio.create_task(box.cluster.settle())
        await until(lambda: bool(ran))
        send(box.cluster, Sync(account=1, n=1), "1")
        await until(lambda: "1" in dropped(box))
        running.cancel()
        await crash(box, loses_disk=loses_disk)
        # it runs again, and counts again
        running = asyncio.create_task(box.cluster.settle())
        await until(lambda: len(ran) == 2)
        send(box.cluster, Sync(account=1, n=2), "2")
        await until(lambda: "2" in dropped(box))
        may_go_on.set()
        await running
        await box.cluster.settle()
        assert states(box) == {"0": "completed", "1": "discarded", "2": "discarded"}
        assert ran == [(1, 0), (1, 0)]


@pytest.mark.parametrize(("do", "state"), [("fail once", "retrying"), ("snooze", "sleeping")])
@pytest.mark.parametrize("restarts", [False, True])
async def test_one_that_goes_on_later_counts_until_it_is_over(do: str, state: str, restarts: bool):
    async with Sandbox(until_over, partitions=1) as box:
        await box.enqueue(Sync(account=1, do=do), id="0")
        if restarts:
            await restart(box, loses_disk=True)
        await box.enqueue(Sync(account=1, n=1), id="1")
        assert states(box) == {"0": state, "1": "discarded"}
        await box.advance("1h")
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 0), (1, 0), (1, 2)]
    ran.clear()
    # but it has started
    async with Sandbox(until_started, partitions=1) as box:
        await box.enqueue(Sync(account=1, do=do), id="0")
        if restarts:
            await restart(box, loses_disk=True)
        for n in (1, 2):
            await box.enqueue(Sync(account=1, n=n), id=str(n))
        await box.advance("1h")
        assert (1, 1) in ran
        if do == "fail once":  # what sleeps does not block its key: the others ran at once
            assert dropped(box) == {"2": "unique: 1 is the same"}


async def test_a_dead_one_holds_nobody_up_and_counts_again_once_it_is_replayed():
    async with Sandbox(for_an_hour, partitions=1) as box:
        first = await box.enqueue(Sync(account=1, do="give up"), id="0")
        await box.enqueue(Sync(account=1, n=1), id="1")
        assert ran == [(1, 0), (1, 1)]
        await box.advance("1h")
        await box.replay(first)
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 0), (1, 1), (1, 0), (1, 2)]


async def test_a_replayed_one_and_another_that_waits_each_count():
    async with Sandbox(until_over, partitions=1) as box:
        # given a dead one, and another one that waits
        first = await box.enqueue(Sync(account=1, do="give up"), id="0")
        second = await box.enqueue(Sync(account=1, n=1), id="1", delay="1h")
        # when the dead one is replayed, which is over before the other one starts
        await box.replay(first)
        await box.enqueue(Sync(account=1, n=2), id="2")
        # then the other one counts still
        assert dropped(box) == {"2": "unique: 1 is the same"}
        await box.cancel(second)
        await box.enqueue(Sync(account=1, n=3), id="3")
        assert ran == [(1, 0), (1, 0), (1, 3)]


async def test_one_that_was_cancelled_before_it_ran_holds_nobody_up():
    async with Sandbox(for_an_hour, partitions=1) as box:
        first = await box.enqueue(Sync(account=1, n=0), id="0", delay="10m")
        await box.enqueue(Sync(account=1, n=1), id="1")
        assert states(box) == {"0": "scheduled", "1": "discarded"}
        await box.cancel(first)
        await box.enqueue(Sync(account=1, n=2), id="2")
        assert ran == [(1, 2)]


async def test_one_that_runs_long_counts_in_the_open_table():
    async with Sandbox(until_over, partitions=1) as box:
        send(box.cluster, Sync(account=1, do="wait"), "0")
        running = asyncio.create_task(box.cluster.settle())
        await until(lambda: bool(ran))
        for _ in range(12):  # it is looked at every second
            box.cluster.clock.set(box.cluster.clock.now() + 1_000)
            await asyncio.sleep(0)
        await until(lambda: states(box) == {"0": "running"})
        send(box.cluster, Sync(account=1, n=1), "1")
        await until(lambda: "1" in dropped(box))
        running.cancel()
        # and still does when another worker has it
        await crash(box, loses_disk=True)
        running = asyncio.create_task(box.cluster.settle())
        await until(lambda: len(ran) == 2)
        send(box.cluster, Sync(account=1, n=2), "2")
        await until(lambda: "2" in dropped(box))
        may_go_on.set()
        await running
        assert ran == [(1, 0), (1, 0)]


async def test_one_that_runs_for_the_second_time_counts():
    async with Sandbox(until_over, partitions=1) as box:
        await box.enqueue(Sync(account=1, do="fail, then wait"), id="0")
        box.cluster.clock.set(box.cluster.clock.now() + 60_000)
        running = asyncio.create_task(box.cluster.settle())
        await until(lambda: len(ran) == 2)
        send(box.cluster, Sync(account=1, n=1), "1")
        await until(lambda: "1" in dropped(box))
        may_go_on.set()
        await running
        assert ran == [(1, 0), (1, 0)]


@pytest.mark.parametrize("restarts", [False, True])
async def test_one_that_a_limit_holds_counts(restarts: bool):
    @job(unique=Unique(by="key", until="started"), rate_limit=RateLimit(1, per="1m"), name="sync")
    async def limited(payload: Sync) -> None:
        ran.append((payload.account, payload.n))

    async with Sandbox(limited, partitions=1) as box:
        await box.enqueue(Sync(account=1), id="other")
        await box.enqueue(Sync(account=2, n=0), id="0")
        await box.advance("12s")  # it waits near for so long
        assert states(box) == {"other": "completed", "0": "parked"}
        if restarts:
            await restart(box, loses_disk=True)
        await box.enqueue(Sync(account=2, n=1), id="1")
        assert dropped(box) == {"1": "unique: 0 is the same"}
        await box.advance("2m")
        assert ran == [(1, 0), (2, 0)]


class Start(JobPayload, name="start"):
    accounts: tuple[int, ...]


class Gather(JobPayload, name="gather"):
    pass


async def test_children_of_a_batch_that_are_dropped_are_reported_to_its_callback():
    counts: list[BatchCounts | None] = []

    @job
    async def start(payload: Start, ctx: JobContext) -> None:
        children = [Sync(account=account, n=n) for n, account in enumerate(payload.accounts)]
        await ctx.enqueue_batch(children, then=Gather())

    @job
    async def gather(payload: Gather, ctx: JobContext) -> None:
        counts.append(ctx.batch)

    @job(debounce="5s", name="sync")
    async def debounced(payload: Sync) -> None:
        ran.append((payload.account, payload.n))

    for definition in (for_an_hour, debounced):
        async with Sandbox(start, gather, definition) as box:
            await box.enqueue(Start(accounts=(1, 2, 1, 1)))
            await box.advance("1m")
            assert counts.pop() == BatchCounts(size=4, completed=2, failed=2)
    assert sorted(ran) == [(1, 0), (1, 3), (2, 1), (2, 1)]


async def test_events_start_one_job_of_each_key():
    async with Sandbox(changed) as box:
        for n in range(3):
            for account in (1, 2):
                await box.emit(Changed(account=account, n=n))
        assert ran == [(1, 0), (2, 0)]
        assert len(dropped(box)) == 4


@pytest.mark.parametrize(("definition", "rows"), [(until_over, 0), (for_an_hour, 10_000)])
async def test_idle_keys_leave_nothing_in_memory_and_their_rows_go_with_the_ledger(
    definition: object, rows: int
):
    async with Sandbox(definition, partitions=1) as box:
        for account in range(10_000):
            send(box.cluster, Sync(account=account), str(account))
        await box.cluster.settle()
        assert len(ran) == 10_000
        assert (remembered(box), in_memory(box)) == (rows, 0)
        await box.advance("2h")
        (worker,) = box.cluster.workers
        await worker.engine.trimmer.trim_all(Kept(queue_ms=3_600_000, ledger_ms=3_600_000))
        assert remembered(box) == 0
