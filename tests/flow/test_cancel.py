"""A job is cancelled in whatever state it is; what is over stays what it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from steps import ask, crash, kill_all, pass_time, pipeline, put, rest, restart, send, until

from streams import (
    Batch,
    BatchContext,
    Fixed,
    JobContext,
    JobPayload,
    PermanentError,
    Retry,
    Snooze,
    job,
)
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening
from streams.testing.sandbox import Sandbox
from streams.testing.worker import MemoryWorker
from streams.wire.envelope import Envelope
from streams.wire.state import decode_ledger
from streams.worker.takeover import LONG_MS


class Step(JobPayload, name="step", key="account"):
    account: int
    n: int
    do: str = "nothing"


class Block(JobPayload, name="block"):
    n: int


class Together(JobPayload, name="together"):
    n: int


ran: list[int] = []
interrupted: list[int] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    ran.clear()
    interrupted.clear()


@job(retry=Retry(attempts=2, backoff=Fixed("1h")))
async def step(payload: Step, ctx: JobContext) -> None:
    match payload.do:
        case "fail" if ctx.attempt == 1:
            raise ValueError("first")
        case "give up":
            raise PermanentError("for good")
        case "snooze" if not ran:
            raise Snooze("1h")
        case "wait":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                interrupted.append(payload.n)
                raise
    ran.append(payload.n)


def key(id: str, account: int = 1) -> JobKey:
    return JobKey(name="step", ordering_key=f"step:{account}", id=id)


@asynccontextmanager
async def going_on(box: Sandbox, payload: JobPayload, id: str) -> AsyncIterator[None]:
    """A job that is enqueued, and started, and does not end by itself."""
    enqueuing = asyncio.create_task(box.enqueue(payload, id=id))
    await until(lambda: any(e.happening is Happening.STARTED and e.id == id for e in box.events))
    try:
        yield
    finally:
        await enqueuing


def cancelled(box: Sandbox) -> set[str]:
    found = box.jobs(state="cancelled")
    assert all(job.reason == "cancelled" for job in found)
    return {job.job.id for job in found}


@pytest.mark.parametrize(
    ("do", "state"), [("fail", "retrying"), ("snooze", "sleeping"), ("delay", "scheduled")]
)
async def test_what_waits_for_its_time_never_runs_again_and_its_key_goes_on(do: str, state: str):
    async with Sandbox(step) as box:
        delay = "1h" if do == "delay" else None
        job_key = await box.enqueue(Step(account=1, n=1, do=do), id="one", delay=delay)
        await box.enqueue(Step(account=1, n=2))
        assert [job.job.id for job in box.jobs(state=state)] == ["one"]
        await box.cancel(job_key)
        assert cancelled(box) == {"one"}
        await box.advance("2h")
        assert ran == [2]


async def test_what_is_parked_behind_another_one_is_left_out():
    async with Sandbox(step) as box:
        await box.enqueue(Step(account=1, n=1, do="fail"))
        gone = await box.enqueue(Step(account=1, n=2), id="two")
        await box.enqueue(Step(account=1, n=3))
        assert len(box.jobs(state="parked")) == 2
        await box.cancel(gone)
        assert cancelled(box) == {"two"}
        await box.advance("1h")
        assert ran == [1, 3]


async def test_what_waits_for_its_key_in_hand_is_left_out():
    async with Sandbox(step) as box:
        async with going_on(box, Step(account=1, n=1, do="wait"), "one"):
            behind = asyncio.create_task(box.enqueue(Step(account=1, n=2), id="two"))
            owners = box.cluster.workers[0].engine.queues.values()
            await until(lambda: sum(owner.running for owner in owners) == 2)
            second = asyncio.create_task(box.cancel(key("two")))
            await until(lambda: cancelled(box) == {"two"})
            await box.cancel(key("one"))
            await asyncio.gather(behind, second)
        assert cancelled(box) == {"one", "two"}
        assert (ran, interrupted) == ([], [1])


async def test_what_waits_for_a_slot_is_left_out():
    goes_on, began = threading.Event(), list[int]()

    @job
    def block(payload: Block) -> None:
        began.append(payload.n)
        goes_on.wait()

    async with Sandbox(block) as box:
        # given all five threads at work
        tasks = [asyncio.create_task(box.enqueue(Block(n=n), id=str(n))) for n in range(6)]
        await until(lambda: len(began) == 5)
        (waiting,) = set(range(6)) - set(began)
        # when the one that waits for them is cancelled
        tasks.append(
            asyncio.create_task(
                box.cancel(JobKey(name="block", ordering_key=None, id=str(waiting)))
            )
        )
        await until(lambda: cancelled(box) == {str(waiting)})
        # then it never begins
        goes_on.set()
        await asyncio.gather(*tasks)
        assert len(began) == len(box.jobs(state="completed")) == 5


async def test_a_long_run_that_was_taken_over_is_interrupted():
    async with Sandbox(step) as box, going_on(box, Step(account=1, n=1, do="wait"), "one"):
        box.cluster.clock.set(box.cluster.clock.now() + LONG_MS)
        await until(lambda: len(box.jobs(state="running")) == 1)
        await box.cancel(key("one"))
        assert (cancelled(box), interrupted) == ({"one"}, [1])
        assert len(box.jobs()) == 1


@job
async def unwinds(payload: Step) -> None:
    ran.append(payload.n)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        interrupted.append(payload.n)
        if len(ran) == 1:
            await asyncio.Event().wait()  # it has much to clean up
        raise


@job(batch=Batch(2))
async def together(payloads: list[Together], ctx: BatchContext) -> None:
    ran.append(len(payloads))
    if len(ran) == 1:
        await asyncio.Event().wait()
    await until(lambda: bool(ctx.jobs[1]._interrupted))


@pytest.fixture
def commands_come(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Workers that start from now on read commands once this is set."""
    come = asyncio.Event()
    read = MemoryWorker._read_commands

    async def read_late(self: MemoryWorker) -> None:
        await come.wait()
        await read(self)

    monkeypatch.setattr(MemoryWorker, "_read_commands", read_late)
    return come


@pytest.mark.parametrize("waits", ["in its queue", "for its time", "for another try"])
async def test_what_was_cancelled_while_nobody_worked_never_starts(
    waits: str, request: pytest.FixtureRequest
):
    async with Sandbox(step) as box:
        # given a job that waits, and no worker
        payload = Step(account=1, n=1, do="fail" if waits == "for another try" else "nothing")
        if waits == "in its queue":
            await kill_all(box)
            job = send(box.cluster, payload, "one")
        else:
            delay = 3_600_000 if waits == "for its time" else None
            job = send(box.cluster, payload, "one", delay=delay)
            await rest(box.cluster)
            await kill_all(box)
        # when it is cancelled, its time comes, and a worker starts that reads commands late
        ask(box.cluster, "cancel", job)
        commands_come = request.getfixturevalue("commands_come")
        box.cluster.clock.set(box.cluster.clock.now() + 3_700_000)
        box._worker = await box.cluster.start_worker("w1")
        await pass_time(box.cluster, 5_000)
        commands_come.set()
        await box.cluster.settle()
        # then it never starts
        assert ran == []
        record = box.cluster.latest(box.cluster.names.ledger("default"))[job.encode()]
        assert decode_ledger(job.encode(), record).state == "cancelled"


async def test_a_job_that_was_put_off_while_nobody_worked_starts_at_the_later_time(
    request: pytest.FixtureRequest,
):
    async with Sandbox(step) as box:
        # given a job in its queue whose time is soon, no worker, and a later time
        await kill_all(box)
        job = send(box.cluster, Step(account=1, n=1), "one", delay=1_000)
        ask(box.cluster, "reschedule", job, due=box.cluster.clock.now() + 60_000)
        # when its time comes, and a worker starts that reads commands late
        commands_come = request.getfixturevalue("commands_come")
        await pass_time(box.cluster, 5_000)
        box._worker = await box.cluster.start_worker("w1")
        await pass_time(box.cluster, 5_000)
        commands_come.set()
        # then it starts at the later time
        await pass_time(box.cluster, 40_000)
        assert ran == []
        await pass_time(box.cluster, 20_000)
        assert ran == [1]


async def test_a_worker_that_dies_while_a_cancelled_job_unwinds_loses_no_cancel():
    async with Sandbox(unwinds) as box:
        enqueuing = asyncio.create_task(box.enqueue(Step(account=1, n=1), id="one"))
        await until(lambda: ran == [1])
        cancelling = asyncio.create_task(box.cancel(key("one")))
        await until(lambda: interrupted == [1])
        for _ in range(50):  # what it does about the command is written
            await asyncio.sleep(0)
        await restart(box)
        await asyncio.gather(enqueuing, cancelling)
        assert cancelled(box) == {"one"}


async def test_a_worker_that_dies_while_a_call_runs_loses_no_cancel_of_a_job_in_it():
    async with Sandbox(together, partitions=1) as box:
        tasks = [asyncio.create_task(box.enqueue(Together(n=n), id=str(n))) for n in range(2)]
        await until(lambda: ran == [2])
        one = JobKey(name="together", ordering_key=None, id="1")
        tasks.append(asyncio.create_task(box.cancel(one)))
        for _ in range(50):
            await asyncio.sleep(0)
        await crash(box)
        await box.cluster.advance_to(box.cluster.clock.now() + 5_000)
        await asyncio.gather(*tasks)
        assert cancelled(box) == {"1"}
        # and it is noted as obeyed once all of that is settled
        owner = pipeline(box)
        assert owner.tables.applied(owner.place.commands) == 1


async def test_a_job_that_no_handler_here_knows_is_cancelled_whether_it_is_read_or_not():
    async with Sandbox(step, partitions=1) as box:
        (worker,) = box.cluster.workers

        def send(id: str) -> JobKey:
            envelope = Envelope(
                id=id,
                name="new",
                source="test",
                time=box.cluster.clock.now(),
                payload=b"{}",
                queue="default",
            )
            return put(box.cluster, envelope)

        # given one that is parked for a worker that knows it
        parked = send("parked")
        await box.cluster.settle()
        assert len(box.jobs(state="parked")) == 1
        await box.cancel(parked)
        # and one that is not read when its cancel is
        sources, worker.sources = worker.sources, []
        await box.cancel(send("ahead"))
        worker.sources = sources
        await box.cluster.settle()
        # then both are over
        assert cancelled(box) == {"parked", "ahead"}
        assert len(box.jobs()) == 2
        await box.advance("15m")
        assert len(box.jobs()) == 2


@pytest.mark.parametrize(("do", "state"), [("nothing", "completed"), ("give up", "dead")])
async def test_what_has_ended_stays_what_it_is(do: str, state: str):
    async with Sandbox(step) as box:
        job_key = await box.enqueue(Step(account=1, n=1, do=do))
        await box.cancel(job_key)
        assert [job.state for job in box.jobs()] == [state]
        assert not any(e.happening is Happening.CANCELLED for e in box.events)
