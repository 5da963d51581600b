"""What an attempt leaves behind when it is over."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest
from parts import attempt, definition_of

from streams import Breaker, JobContext, JobPayload, job
from streams.jobs.outcome import Cancelled, Outcome
from streams.kafka.clock import WallClock
from streams.testing.memory import MemoryClock
from streams.worker.attempt import Attempt
from streams.worker.executor import LoopExecutor


class Step(JobPayload, name="step"):
    fails: bool = False


@pytest.fixture
def no_collector() -> Iterator[None]:
    """As in a busy worker, which has no time to look for rings."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("fails", [False, True])
async def test_an_attempt_that_is_over_is_freed_without_the_garbage_collector(fails: bool) -> None:
    over = asyncio.Event()
    tasks: list[weakref.ref[object]] = []

    @job
    async def step(payload: Step) -> None:
        # Attempts have slots and no weak references; the task of one has, and leads to it.
        tasks.append(weakref.ref(asyncio.current_task()))
        if fails:
            raise ValueError("it fails")

    def done(attempt: Attempt, outcome: Outcome) -> None:
        over.set()

    executor = LoopExecutor(WallClock(), lambda event: None)
    taken = attempt(definition_of(step), "1", None)
    executor.submit(taken, done)
    await over.wait()
    await asyncio.sleep(0)  # the loop lets go of the task
    del taken
    assert [task() for task in tasks] == [None]
    assert not [found for found in gc.get_objects() if type(found) is Attempt]


@pytest.mark.usefixtures("no_collector")
async def test_attempts_that_are_over_are_freed_while_another_one_goes_on() -> None:
    latch = asyncio.Event()
    over = asyncio.Semaphore(0)

    @job
    async def step(payload: Step) -> None:
        if payload.fails:
            await latch.wait()

    def done(attempt: Attempt, outcome: Outcome) -> None:
        over.release()

    executor = LoopExecutor(WallClock(), lambda event: None)
    going = attempt(definition_of(step), "going", None)
    going.envelope = replace(going.envelope, payload=b'{"fails": true}')
    executor.submit(going, done)
    for number in range(20):
        executor.submit(attempt(definition_of(step), str(number), None), done)
    for _ in range(20):
        await over.acquire()
    await asyncio.sleep(0)
    assert [a for a in gc.get_objects() if type(a) is Attempt] == [going]
    latch.set()
    await over.acquire()


async def test_slots_are_told_to_be_full_while_somebody_waits_for_one() -> None:
    latch = asyncio.Event()
    over = asyncio.Semaphore(0)

    @job
    async def step(payload: Step) -> None:
        await latch.wait()

    def done(attempt: Attempt, outcome: Outcome) -> None:
        over.release()

    executor = LoopExecutor(WallClock(), lambda event: None, concurrency=1)
    executor.submit(attempt(definition_of(step), "1", None), done)
    assert executor.told_full() == []  # nobody waits
    executor.submit(attempt(definition_of(step), "2", None), done)
    assert executor.told_full() == ["loop"]
    latch.set()
    for _ in range(2):
        await over.acquire()
    assert executor.told_full() == []


async def test_what_was_about_to_start_when_the_process_was_frozen_does_not() -> None:
    may_start = True
    started: list[str] = []

    @job
    async def step(payload: Step, ctx: JobContext) -> None:
        started.append(ctx.id)

    over = asyncio.Event()
    ended: list[Outcome] = []

    def done(attempt: Attempt, outcome: Outcome) -> None:
        ended.append(outcome)
        if len(ended) == 3:
            over.set()

    executor = LoopExecutor(WallClock(), lambda event: None, may_start=lambda: may_start)
    # given jobs that are to start in the next turn of the loop
    taken = [attempt(definition_of(step), str(n), None) for n in range(3)]
    for each in taken:
        executor.submit(each, done)
    assert executor.running == 3
    # when the lease ends before it comes
    may_start = False
    for _ in range(5):
        await asyncio.sleep(0)
    # then none has started, and one that is cancelled is over
    assert (started, executor.running) == ([], 0)
    taken[2].cancelled = "not needed"
    executor.cancel(taken[2], "not needed")
    assert ended == [Cancelled(reason="not needed")]
    # and the others start in their order once it is there again
    may_start = True
    executor.go_on()
    await over.wait()
    assert started == ["0", "1"]
    assert executor.running == 0


async def test_a_probe_of_a_breaker_that_could_not_begin_is_the_probe_once_it_can() -> None:
    may_start = True
    started: list[str] = []

    @job(breaker=Breaker(1, of=1, pause="1s"))
    async def step(payload: Step, ctx: JobContext) -> None:
        started.append(ctx.id)
        if len(started) == 1:
            raise ConnectionError("it does not answer")

    ended: list[Outcome] = []
    clock = MemoryClock()
    executor = LoopExecutor(clock, lambda event: None, may_start=lambda: may_start)
    jobs = [attempt(definition_of(step), str(n), None) for n in range(3)]

    async def run(taken: Attempt) -> None:
        executor.submit(taken, lambda attempt, outcome: ended.append(outcome))
        for _ in range(5):
            await asyncio.sleep(0)

    # given a breaker that is open
    await run(jobs[0])
    clock.set(clock.now() + 1_000)
    # when its probe has a slot, and the process is frozen before it begins
    executor.submit(jobs[1], lambda attempt, outcome: ended.append(outcome))
    may_start = False
    for _ in range(5):
        await asyncio.sleep(0)
    assert started == ["0"]
    # then it probes later on, and the others follow
    may_start = True
    executor.go_on()
    for _ in range(5):
        await asyncio.sleep(0)
    await run(jobs[2])
    assert started == ["0", "1", "2"]


async def test_it_tells_how_many_slots_are_in_use_and_who_waits_for_a_limit() -> None:
    latch, over = asyncio.Event(), asyncio.Semaphore(0)

    @job(concurrency=1)
    async def step(payload: Step) -> None:
        await latch.wait()

    executor = LoopExecutor(WallClock(), lambda event: None, concurrency=3, threads=2)
    for n in range(4):
        executor.submit(
            attempt(definition_of(step), str(n), None), lambda attempt, outcome: over.release()
        )
    told = {each.kind: (each.busy, each.slots) for each in executor.told_slots()}
    assert told == {"loop": (1, 3), "thread": (0, 2)}  # and no processes, if there are none
    assert executor.held_near() == {"default": 3}

    latch.set()
    for _ in range(4):
        await over.acquire()
    assert executor.told_slots()[0].busy == 0
    assert executor.held_near() == {}
