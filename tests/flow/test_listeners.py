"""`@on(...)`: what happens to jobs, told to functions of the application."""

from __future__ import annotations

import asyncio
import logging

import pytest

from streams import JobContext, JobPayload, LifecycleEvent, PermanentError, Retry, job, on
from streams.testing.sandbox import Sandbox
from streams.worker import listeners as module

heard: list[str] = []


@pytest.fixture(autouse=True)
def silence() -> None:
    heard.clear()


class Work(JobPayload, name="work"):
    fails: int = 0


@job(retry=Retry(attempts=3))
async def work(payload: Work, ctx: JobContext) -> None:
    if ctx.attempt <= payload.fails:
        raise OSError("not now")
    if payload.fails < 0:
        raise PermanentError("never")


@on("completed", "retrying")
def hear(event: LifecycleEvent) -> None:
    heard.append(f"{event.happening} {event.id} {event.attempt} {event.error_type}")


@on("failed")
async def hear_failed(event: LifecycleEvent) -> None:
    await asyncio.sleep(0)
    heard.append(f"{event.happening} {event.id}")


async def test_functions_hear_what_they_asked_for():
    async with Sandbox(work, hear, hear_failed) as box:
        await box.enqueue(Work(fails=1), id="a")
        await box.advance("1m")
        await box.enqueue(Work(fails=-1), id="b")
    assert heard == ["retrying a 1 OSError", "completed a 2 None", "dead b"]


async def test_what_they_raise_harms_no_job(caplog: pytest.LogCaptureFixture):
    @on("started", "completed")
    def broken(event: LifecycleEvent) -> None:
        raise RuntimeError("no")

    @on("completed")
    async def broken_too(event: LifecycleEvent) -> None:
        raise RuntimeError("no")

    with caplog.at_level(logging.ERROR, "streams.worker.listeners"):
        async with Sandbox(work, broken, broken_too, hear) as box:
            await box.enqueue(Work())
            assert box.jobs(state="completed")
    assert len(heard) == 1
    assert len(caplog.records) == 3
    assert all("failed on" in record.getMessage() for record in caplog.records)


async def test_one_that_does_not_keep_up_holds_nobody_up_and_what_it_misses_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "WAITING_MAX", 2)
    goes_on = asyncio.Event()

    @on("completed")
    async def slow(event: LifecycleEvent) -> None:
        heard.append(event.id)
        await goes_on.wait()

    with caplog.at_level(logging.WARNING, "streams.worker.listeners"):
        async with Sandbox(work, slow) as box:
            for number in range(5):
                await box.enqueue(Work(), id=str(number))
            assert len(box.jobs(state="completed")) == 5
            goes_on.set()
    assert heard == ["0", "1", "2"]
    assert "missed 2 events" in caplog.text


async def test_one_that_never_ends_does_not_hold_the_end_of_its_worker(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ENDED_WITHIN", 0.01)

    @on("completed")
    async def endless(event: LifecycleEvent) -> None:
        await asyncio.Event().wait()

    with caplog.at_level(logging.WARNING, "streams.worker.listeners"):
        async with Sandbox(work, endless) as box:
            await box.enqueue(Work())
            await box.enqueue(Work())
    assert "has not heard 1 events" in caplog.text


def test_what_never_happens_can_not_be_heard():
    with pytest.raises(TypeError, match="did you mean 'completed'"):
        on("complete")
    with pytest.raises(TypeError, match="nothing of that name happens to a job; there are started"):
        on("exploded")
    with pytest.raises(TypeError, match="say what to hear"):
        on()
