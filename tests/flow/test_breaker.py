"""A breaker: an outage of what a definition depends on burns no attempts."""

from __future__ import annotations

import random

import pytest
from steps import crash

from streams import Breaker, Exponential, JobPayload, PermanentError, Retry, job
from streams.errors import RegistrationError
from streams.jobs.registry import Registry
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox


class Call(JobPayload, name="breaker_call", key="k"):
    k: int
    n: int


class Picky(JobPayload, name="breaker_picky"):
    n: int


class Other(JobPayload, name="breaker_other"):
    n: int


ran: list[tuple[int, int]] = []
calls: list[int] = []  # when, in virtual time
outage: list[int] = []  # until when the dependency fails
box_now: list[Sandbox] = []


@job(
    breaker=Breaker(0.5, of=10, pause="30s", at_most="5m"),
    retry=Retry(attempts=3, backoff=Exponential(base="1s", cap="10s")),
)
async def breaker_call(payload: Call) -> None:
    now = box_now[0].cluster.clock.now()
    calls.append(now)
    if now < outage[0]:
        raise ConnectionError("it does not answer")
    ran.append((payload.k, payload.n))


@job(breaker=Breaker(0.5, of=4, pause="30s"))
async def breaker_picky(payload: Picky) -> None:
    calls.append(payload.n)
    raise PermanentError("this one is no good")


@job
async def breaker_other(payload: Other) -> None:
    ran.append((-1, payload.n))


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_an_hour_of_outage_costs_a_few_probes_and_no_job(is_restarted: bool):
    ran.clear()
    calls.clear()
    rng = random.Random(1)
    async with Sandbox(breaker_call, breaker_other) as box:
        box_now[:] = [box]
        start = box.cluster.clock.now()
        outage[:] = [start + 3_600_000]
        for n in range(200):
            await box.enqueue(Call(k=rng.randrange(20), n=n))
        await box.enqueue(Other(n=1))
        assert (-1, 1) in ran  # others are not held up
        await box.advance("20m")
        if is_restarted:
            await crash(box)
        held = [
            entry
            for pipeline in box.cluster.workers[0].engine.queues.values()
            for entry in pipeline.tables.entries()
            if entry.held is not None
        ]
        assert held[0].reason == (
            "the breaker of breaker_call is open: too many attempts failed, "
            "ConnectionError: it does not answer"
        )
        await box.advance("50m")
        # Without a breaker it would have been three calls for each of 200 jobs, and all dead.
        during = sum(at < outage[0] for at in calls)
        assert during <= 10 + 12 + 20 + (10 + 12 if is_restarted else 0)
        assert box.jobs(state=State.DEAD) == []
        assert len(box.jobs(state=State.COMPLETED)) == 201
        for k in range(20):
            numbers = [n for of, n in ran if of == k]
            assert numbers == sorted(numbers)


async def test_errors_that_are_permanent_say_nothing_about_the_dependency():
    calls.clear()
    async with Sandbox(breaker_picky) as box:
        for n in range(12):
            await box.enqueue(Picky(n=n))
        assert calls == list(range(12))
        assert len(box.jobs(state=State.DEAD)) == 12


@pytest.mark.parametrize(
    ("breaker", "said"),
    [
        (Breaker(0), "0 is no share of attempts"),
        (Breaker(1.5), "1.5 is no share of attempts"),
        (Breaker(0.5, of=0), "of=0 is no number from 1"),
        (Breaker(0.5, pause="soon"), "pause='soon'"),
        (Breaker(0.5, pause="0s"), "pause='0s' is no time to wait"),
        (Breaker(0.5, pause="1h"), "shorter than pause='1h': write a longer at_most="),
        (0.5, "write breaker=Breaker"),
    ],
)
def test_a_breaker_that_makes_no_sense_is_a_mistake_at_start_up(breaker: Breaker, said: str):
    @job(breaker=breaker)
    async def handler(payload: Other) -> None: ...

    with pytest.raises(RegistrationError) as caught:
        Registry.build([handler.__job_definition__], ["default"])
    assert said in str(caught.value)
