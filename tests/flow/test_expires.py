"""A job that waited too long is ended instead of started, with an outcome of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest
from steps import until

from streams import Fixed, JobContext, JobPayload, PermanentError, Retry, Snooze, job
from streams.observe.metrics import WorkerMetrics
from streams.testing.sandbox import Sandbox


class Step(JobPayload, name="step", key="account"):
    account: int
    n: int
    do: str = "nothing"


class Block(JobPayload, name="block"):
    n: int


ran: list[int] = []
broken: list[bool] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    ran.clear()
    broken[:] = [True]


@job(expires="1h", retry=Retry(attempts=5, backoff=Fixed("40m")))
async def step(payload: Step, ctx: JobContext) -> None:
    match payload.do:
        case "fail":
            raise ValueError("again")
        case "fail once" if ctx.attempt == 1:
            raise ValueError("first")
        case "give up" if broken[0]:
            raise PermanentError("for good")
        case "snooze" if not ran:
            ran.append(0)
            raise Snooze("2h")
    ran.append(payload.n)


async def test_a_job_that_is_tried_again_too_late_is_expired_and_counted():
    async with Sandbox(step) as box:
        # given a job that fails after 0 and 40 minutes, and one that waits behind it
        await box.enqueue(Step(account=1, n=1, do="fail"))
        await box.enqueue(Step(account=1, n=2))
        await box.advance("40m")
        assert (len(box.jobs(state="retrying")), len(box.jobs(state="parked"))) == (1, 1)
        # when their hour is over, then neither starts again
        await box.advance("40m")
        expired = box.jobs(state="expired")
        assert sorted(job.attempts for job in expired) == [0, 2]
        assert len(box.jobs()) == 2
        assert {job.reason for job in expired} == {"it waited longer than it was worth"}
        assert ran == []
        metrics = WorkerMetrics(names=["step"])
        for event in box.events:
            metrics.listen(event)
    told = 'streams_jobs_total{name="step",outcome="expired",queue="default"} 2.0'
    assert told in metrics.render().decode()


async def test_a_retry_in_time_is_not():
    async with Sandbox(step) as box:
        await box.enqueue(Step(account=1, n=1, do="fail once"))
        await box.advance("40m")
        assert ran == [1]


async def test_a_delay_is_no_waiting_for_the_definition_and_is_for_a_job_that_says_so():
    async with Sandbox(step) as box:
        await box.enqueue(Step(account=1, n=1), delay="3h")
        await box.enqueue(Step(account=2, n=2), delay="3h", expires="2h")
        await box.advance("3h")
        assert ran == [1]
        assert len(box.jobs(state="expired")) == 1


async def test_a_job_that_sleeps_past_its_time_is():
    async with Sandbox(step) as box:
        await box.enqueue(Step(account=1, n=1, do="snooze"))
        await box.advance("2h")
        assert ran == [0]
        assert len(box.jobs(state="expired")) == 1


async def test_a_job_that_waits_too_long_for_a_slot_is():
    goes_on, began = threading.Event(), list[int]()

    @job(expires="1m")
    def block(payload: Block) -> None:
        began.append(payload.n)
        goes_on.wait()

    async with Sandbox(block) as box:
        tasks = [asyncio.create_task(box.enqueue(Block(n=n))) for n in range(6)]
        await until(lambda: len(began) == 5)
        box.cluster.clock.set(box.cluster.clock.now() + 60_000)
        goes_on.set()
        await asyncio.gather(*tasks)
        assert len(began) == len(box.jobs(state="completed")) == 5
        assert len(box.jobs(state="expired")) == 1


async def test_a_replay_is_wanted_however_late():
    async with Sandbox(step) as box:
        key = await box.enqueue(Step(account=1, n=1, do="give up"), expires="1h")
        await box.advance("1d")
        broken[0] = False
        await box.replay(key)
        assert ran == [1]
        assert len(box.jobs(state="completed")) == 1
