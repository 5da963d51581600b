"""Slots that are kept free for what a limit of the cluster was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from parts import attempt, definition_of

from streams import JobPayload, RateLimit, job
from streams.jobs.outcome import Outcome
from streams.testing.memory import MemoryClock
from streams.worker.attempt import Attempt
from streams.worker.executor import LoopExecutor
from streams.worker.limit_asks import Answer

SLOTS = 5
began: list[str] = []
may_end: list[asyncio.Event] = []


class Rated(JobPayload, name="rated_look"): ...


class Slotted(JobPayload, name="slotted_look"): ...


class Free(JobPayload, name="free_look"): ...


@job(rate_limit=RateLimit(100, per="1s"))
async def rated(payload: Rated) -> None:
    began.append("limited")


@job(cluster_concurrency=100)
async def slotted(payload: Slotted) -> None:
    began.append("limited")


@job
async def free(payload: Free) -> None:
    began.append("free")
    await may_end[0].wait()


class Asks:
    """The log of asks, which answers when a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Callable[[Answer], None]]] = []

    def ask(self, name: str, ask: Any, answered: Callable[[Answer], None]) -> None:
        self.asked.append((ask, answered))

    def answer(self, now: int, *, has_failed: bool = False) -> None:
        ask, answered = self.asked.pop(0)
        wants = getattr(ask, "wants", getattr(ask, "wanted", 0))
        count = 0 if has_failed else wants
        at = now + 500 if has_failed else now
        answered(Answer(count=count, use_by=now + 400, next_at=at, has_failed=has_failed))


def nothing(attempt: Attempt, outcome: Outcome) -> None: ...


async def steps() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("handler", [rated, slotted])
@pytest.mark.parametrize("how", ["no answer", "failures"])
async def test_a_log_that_does_not_answer_keeps_no_slots_from_others(handler: Any, how: str):
    began.clear()
    may_end[:] = [asyncio.Event()]
    clock, asks = MemoryClock(), Asks()
    executor = LoopExecutor(clock, lambda event: None, concurrency=SLOTS, ask_cluster=asks.ask)
    submit = partial(executor.submit, done=nothing)
    for n in range(20):
        submit(attempt(definition_of(handler), f"limited-{n}", None))
    await steps()
    if how == "no answer":  # to the second ask, which is for all that wait
        asks.answer(clock.now())
        await steps()
    while how == "failures" and clock.now() < 1_700_000_002_000 and asks.asked:
        asks.answer(clock.now(), has_failed=True)
        clock.set(clock.now() + 501)
        await steps()
    for n in range(20):
        submit(attempt(definition_of(free), f"free-{n}", None))
    clock.set(clock.now() + 1_001)
    await steps()
    assert began.count("free") == SLOTS
    # once it answers, it has its slots
    may_end[0].set()
    for _ in range(20):
        while asks.asked:
            asks.answer(clock.now())
            await steps()
        clock.set(clock.now() + 251)
        await steps()
    assert began.count("limited") == 20
