"""Middleware around attempts: its order, what it may decide, and that it harms no job."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Any

import pytest

from streams import Discard, JobContext, JobPayload, Middleware, Retry, Snooze, job
from streams.errors import RegistrationError
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Cancelled, Completed, Dead, Retrying
from streams.testing.sandbox import Sandbox

said: list[Any] = []
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


@pytest.fixture(autouse=True)
def silence() -> None:
    said.clear()


class Says(Middleware):
    """Says what it is told."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def before(self, ctx, payload):
        said.append(f"{self.name} before {ctx.attempt}")

    async def after(self, ctx, payload, error):
        said.append(f"{self.name} after {type(error).__name__}")

    async def on_outcome(self, ctx, outcome):
        said.append((self.name, type(outcome)))


class Work(JobPayload, name="work"):
    fails: int = 0


@job(retry=Retry(attempts=2), middleware=[Says("inner")])
async def work(payload: Work, ctx: JobContext) -> str:
    said.append("handler")
    if ctx.attempt <= payload.fails:
        raise OSError("not now")
    return tenant.get()


async def test_it_is_called_around_each_attempt_from_the_outside_in():
    async with Sandbox(work, middleware=[Says("outer")]) as box:
        await box.enqueue(Work())
    assert said == [
        "outer before 1",
        "inner before 1",
        "handler",
        "inner after NoneType",
        "outer after NoneType",
        ("inner", Completed),
        ("outer", Completed),
    ]


async def test_it_is_told_what_becomes_of_a_job_that_fails():
    async with Sandbox(work) as box:
        await box.enqueue(Work(fails=2))
        await box.advance("1h")
    assert [each for each in said if not isinstance(each, str)] == [
        ("inner", Retrying),
        ("inner", Dead),
    ]
    assert said.count("inner after OSError") == 2


async def test_what_it_raises_harms_no_job(caplog: pytest.LogCaptureFixture):
    class Broken(Middleware):
        async def before(self, ctx, payload):
            raise RuntimeError("before")

        async def after(self, ctx, payload, error):
            raise RuntimeError("after")

        async def on_outcome(self, ctx, outcome):
            raise RuntimeError("on_outcome")

    with caplog.at_level(logging.ERROR, "streams.worker.around"):
        async with Sandbox(work, middleware=[Broken(), Says("next")]) as box:
            key = await box.enqueue(Work())
            assert box.result(key) == "nobody"
    told = [record.getMessage().partition(" failed")[0] for record in caplog.records]
    assert told == ["Broken.before", "Broken.after", "Broken.on_outcome"]
    assert "next before 1" in said and ("next", Completed) in said


async def test_it_decides_instead_of_the_handler():
    class Closed(Middleware):
        async def before(self, ctx, payload):
            raise Discard("switched off") if payload.fails else Snooze("1h")

    async with Sandbox(work, middleware=[Closed()]) as box:
        await box.enqueue(Work(fails=1), id="a")
        await box.enqueue(Work(), id="b")
        assert [job.job.id for job in box.jobs(state="discarded")] == ["a"]
        assert [job.job.id for job in box.jobs(state="sleeping")] == ["b"]
    assert "handler" not in said


async def test_the_handler_sees_the_context_variables_that_it_sets_and_no_other_job_does():
    class OfATenant(Middleware):
        async def before(self, ctx, payload):
            tenant.set("ada")

    @job(name="threaded")
    def threaded(n: int) -> str:
        return tenant.get()

    @job(name="alone", middleware=[OfATenant()])
    async def alone(n: int) -> str:
        return tenant.get()

    @job(name="without")
    async def without(n: int) -> str:
        return tenant.get()

    async with Sandbox(alone, without) as box:
        first = await box.enqueue(alone.payload(n=1))
        second = await box.enqueue(without.payload(n=1))
        assert (box.result(first), box.result(second)) == ("ada", "nobody")
    async with Sandbox(threaded, middleware=[OfATenant()]) as box:
        key = await box.enqueue(threaded.payload(n=1))
        assert box.result(key) == "ada"


async def test_it_hears_that_an_attempt_was_interrupted():
    began = asyncio.Event()

    @job(middleware=[Says("it")])
    async def endless(payload: Work) -> None:
        began.set()
        await asyncio.Event().wait()

    async with Sandbox(endless) as box:
        enqueuing = asyncio.create_task(box.enqueue(Work(), id="a"))
        await began.wait()
        await box.cancel(JobKey(name="work", ordering_key=None, id="a"))
        await enqueuing
        assert box.jobs(state="cancelled")
    assert said == ["it before 1", "it after CancelledError", ("it", Cancelled)]


def test_what_is_no_middleware_is_told_at_start_up():
    @job(middleware=[Says])  # type: ignore[list-item]
    async def wrong(payload: Work) -> None: ...

    with pytest.raises(RegistrationError, match=r"no instance of streams\.Middleware: write Says"):
        Sandbox(wrong)
    with pytest.raises(RegistrationError, match=r"'sentry' is no instance of streams\.Middleware"):
        Sandbox(work, middleware=["sentry"])  # type: ignore[list-item]
