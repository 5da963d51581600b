"""What a worker that ends still writes, and what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from streams import JobPayload, job
from streams.testing import Sandbox
from streams.worker.ports import Append


class Loose(JobPayload, name="loose"):
    """A job without a key."""

    n: int


class Stuck:
    """A log that takes nothing until it is told to."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.asked = asyncio.Event()
        self.takes = asyncio.Event()

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        self.asked.set()
        await self.takes.wait()
        return list(await self._log.append(records))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


@pytest.mark.parametrize("cut_off", [True, False])
async def test_after_a_drain_that_was_cut_off_an_assignment_lets_nothing_more_be_written(
    cut_off: bool,
) -> None:
    held = asyncio.Event()
    started = asyncio.Event()

    @job
    async def loose(payload: Loose) -> None:
        started.set()
        await held.wait()

    async with Sandbox(loose, partitions=1) as box:
        # given a job whose entry and ledger record are to be written, one after the other
        enqueuing = asyncio.create_task(box.enqueue(Loose(n=1)))
        await started.wait()
        (worker,) = box.cluster.workers
        engine = worker.engine
        pipeline = engine.queues[("default", 0)]
        log = pipeline._log._log = Stuck(pipeline._log._log)  # type: ignore[assignment]
        # when the worker ends, and the first write takes longer than its lease
        held.set()
        ending = asyncio.create_task(engine.shut_down(0.05 if cut_off else None))
        await log.asked.wait()
        if cut_off:
            assert not await ending
        # and an assignment comes before it has left
        engine.resume()
        log.takes.set()
        if not cut_off:
            assert await ending
        for _ in range(100):
            await asyncio.sleep(0)
        enqueuing.cancel()
        # then what was under way is all that was written
        assert len(box.jobs(state="completed")) == 1
        marks = [
            r.value for r in box.cluster.log.records("jobs.default.retry") if r.key == b"#at-work"
        ]
        assert (marks[-1] is None) is not cut_off
