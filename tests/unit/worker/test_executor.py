"""What an attempt leaves behind when it is over."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest
from parts import attempt, definition_of

from streams import JobPayload, job
from streams.jobs.outcome import Outcome
from streams.kafka.clock import WallClock
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

    @job
    async def step(payload: Step) -> None:
        if fails:
            raise ValueError("it fails")

    def done(attempt: Attempt, outcome: Outcome) -> None:
        over.set()

    executor = LoopExecutor(WallClock(), lambda event: None)
    taken = attempt(definition_of(step), "1", None)
    # Attempts have slots and no weak references; the task of one has, and leads to it.
    executor.submit(taken, done)
    task = weakref.ref(taken.handle.task)
    await over.wait()
    await asyncio.sleep(0)  # the loop lets go of the task
    del taken
    assert task() is None
    assert not [found for found in gc.get_objects() if isinstance(found, Attempt)]
