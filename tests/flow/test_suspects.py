"""Jobs that end the process they run in."""

from __future__ import annotations

import asyncio
from collections import Counter

from steps import crash, pipeline, until

from streams import Fixed, JobContext, JobPayload, Retry, job
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.wire.state import decode_open


class Step(JobPayload, name="step", key="account"):
    account: int


class Loose(JobPayload, name="loose"):
    n: int


async def test_a_job_that_ends_its_process_is_dead_at_last_and_others_are_not():
    deadly = asyncio.Event()
    starts: Counter[str] = Counter()
    ended: list[str] = []

    @job(retry=Retry(attempts=3, backoff=Fixed("1s")))
    async def step(payload: Step) -> None:
        starts["killer"] += 1
        deadly.set()
        await asyncio.Event().wait()  # the process ends here

    @job
    async def loose(payload: Loose) -> None:
        starts[f"loose-{payload.n}"] += 1
        await asyncio.sleep(0)
        ended.append(f"loose-{payload.n}")

    async with Sandbox(step, loose, partitions=1) as box:
        enqueuing = asyncio.create_task(box.enqueue(Step(account=1)))
        await deadly.wait()
        enqueuing.cancel()
        for life in range(6):
            # given that the process ends while the job runs, whatever else runs beside it
            deadly.clear()
            await crash(box)
            more = asyncio.create_task(box.enqueue(Loose(n=life)))
            await until(lambda: deadly.is_set() or bool(box.jobs(state="dead")))
            await until(lambda life=life: f"loose-{life}" in ended)
            more.cancel()
            if box.jobs(state="dead"):
                break
        # then its starts are counted, and it is dead; the others have run
        (dead,) = box.jobs(state="dead")
        assert dead.failure.type == "WorkerDied"
        assert 3 <= starts["killer"] <= 5
        await box.cluster.settle()
        await box.advance("1s")
        assert len(box.jobs(state="completed")) == len(set(ended))
        assert len(box.cluster.latest("jobs.dead")) == 1


async def test_a_worker_that_was_drained_leaves_no_suspicion():
    held = asyncio.Event()
    starts: list[int] = []

    @job
    async def loose(payload: Loose, ctx: JobContext) -> None:
        starts.append(payload.n)
        await held.wait()

    async with Sandbox(loose, partitions=1) as box:
        enqueuing = asyncio.create_task(box.enqueue(Loose(n=1)))
        await until(lambda: bool(starts))
        enqueuing.cancel()
        for number in range(5):
            # when the worker drains and hands the running job back, again and again
            (worker,) = box.cluster.workers
            await worker.engine.drain()
            await crash(box)
            settling = asyncio.create_task(box.cluster.settle())
            await until(lambda number=number: len(starts) == number + 2)
            settling.cancel()
        # then nothing is held against it
        assert box.jobs() == []
        held.set()
        await box.cluster.settle()
        assert len(box.jobs(state="completed")) == 1


async def test_who_was_there_at_two_ends_runs_alone_among_its_like():
    held = asyncio.Event()
    running: set[int] = set()
    most: list[int] = []

    @job
    async def loose(payload: Loose) -> None:
        running.add(payload.n)
        most.append(len(running))
        try:
            await held.wait()
        finally:
            running.discard(payload.n)

    async with Sandbox(loose, partitions=1) as box:
        tasks = [asyncio.create_task(box.enqueue(Loose(n=n))) for n in range(4)]
        await until(lambda: len(running) == 4)
        for task in tasks:
            task.cancel()
        for _ in range(2):  # the first rerun is counted, the second one is the second count
            most.clear()
            await crash(box)
            settling = asyncio.create_task(box.cluster.settle())
            await until(lambda: bool(running) and len(box.jobs(state=State.RUNNING)) == 4)
            for _ in range(200):
                await asyncio.sleep(0)
            settling.cancel()
        assert max(most) == 1
        # and the others follow once it is over
        held.set()
        await box.advance("10s")
        assert len(box.jobs(state="completed")) == 4


async def test_what_came_after_a_crash_is_not_suspected_of_it():
    ran: list[int] = []

    @job(retry=Retry(attempts=2, backoff=Fixed("1m")))
    async def step(payload: Step, ctx: JobContext) -> None:
        ran.append(ctx.attempt)
        if len(ran) == 1:
            raise ValueError("those of its key wait, in the open table")

    async with Sandbox(step, partitions=1) as box:
        await crash(box)
        for _ in range(20):
            await box.enqueue(Step(account=1))
        assert len(box.jobs(state=State.PARKED)) == 19
        await box.advance("1m")
        assert len(ran) == 21
        # no start of theirs was written, nor is anything remembered of them
        retry = box.cluster.log.records(box.cluster.names.retry("default"))
        entries = [decode_open(r.key, r.value) for r in retry if r.key[:1] != b"#" and r.value]
        assert not any(entry.starts for entry in entries)
        assert not pipeline(box)._openings._owned.suspicion._recorded
