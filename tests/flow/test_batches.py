"""Batches of child jobs, and their callbacks: how they wait, when they run, what they see."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from steps import crash

from streams import (
    BatchCounts,
    Discard,
    Fixed,
    JobContext,
    JobPayload,
    PermanentError,
    Retry,
    SyncJobContext,
    job,
)
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.wire.state import LedgerRecord, OpenEntry
from streams.worker.control import Control


class Start(JobPayload, name="start"):
    children: tuple[str, ...]  # how each of them ends
    when: Any = "over"


class Part(JobPayload, name="part", key="n", queue="bulk"):
    n: int
    ends: str


class Gather(JobPayload, name="gather", key="what"):
    what: str = "all"


calls: list[BatchCounts | None] = []
mended: list[bool] = []


@pytest.fixture(autouse=True)
def anew() -> None:
    calls.clear()
    mended.clear()


def batch_of(payload: Start) -> list[Part]:
    return [Part(n=n, ends=ends) for n, ends in enumerate(payload.children)]


@job(retry=Retry(attempts=2, backoff=Fixed("1s")))
async def start(payload: Start, ctx: JobContext) -> str:
    return await ctx.enqueue_batch(batch_of(payload), then=Gather(), when=payload.when)


@job(retry=Retry(attempts=2, backoff=Fixed("5s")))
async def part(payload: Part, ctx: JobContext) -> None:
    match payload.ends:
        case "dead" if not mended:
            raise PermanentError("no")
        case "retried" if ctx.attempt == 1:
            raise ValueError("once")
        case "discarded":
            raise Discard("not needed")
        case "forever":
            await asyncio.Event().wait()


@job
async def gather(payload: Gather, ctx: JobContext) -> list[int]:
    calls.append(ctx.batch)
    assert ctx.batch is not None
    return [ctx.batch.size, ctx.batch.completed, ctx.batch.failed]


HANDLERS = (start, part, gather)


def callback(box: Sandbox) -> OpenEntry | LedgerRecord:
    (found,) = [found for found in box.jobs() if found.job.name == "gather"]
    return found


def children(box: Sandbox) -> dict[int, JobKey]:
    found = {}
    for one in box.jobs():
        if one.job.name == "part":
            found[int((one.job.ordering_key or "").split(":")[1])] = one.job
    return found


async def test_a_callback_runs_once_when_all_children_are_over_however_they_ended():
    async with Sandbox(*HANDLERS) as box:
        await box.enqueue(Start(children=("ok", "dead", "retried", "discarded", "ok")))
        waits = callback(box)
        assert waits.state is State.SLEEPING and isinstance(waits, OpenEntry)
        assert waits.reason == (
            "waits until all of its 5 jobs are over: 4 are, 2 of them not completed"
        )
        assert calls == []
        await box.advance("5s")  # the one that is retried
        assert calls == [BatchCounts(size=5, completed=3, failed=2)]
        over = callback(box)
        assert over.state is State.COMPLETED and isinstance(over, LedgerRecord)
        assert over.result == b"[5,3,2]"


async def test_a_batch_without_children_runs_its_callback_at_once():
    @job(name="start")
    async def start_empty(payload: Start, ctx: JobContext) -> str:
        return await ctx.enqueue_batch([], then=Gather())

    @job(name="gather")
    async def gather_none(payload: Gather, ctx: JobContext) -> None:
        calls.append(ctx.batch)

    async with Sandbox(start_empty, gather_none) as box:
        await box.enqueue(Start(children=()))
        assert calls == [None]


async def test_a_cancelled_child_counts_as_over():
    async with Sandbox(*HANDLERS) as box:
        enqueueing = asyncio.create_task(box.enqueue(Start(children=("ok", "forever"))))
        while not any(event.name == "part" for event in box.events) or not children(box):
            await asyncio.sleep(0)
        cancelling = [asyncio.create_task(box.cancel(box_job)) for box_job in [_child_job(box, 1)]]
        await asyncio.gather(enqueueing, *cancelling)
        assert calls == [BatchCounts(size=2, completed=1, failed=1)]


def _child_job(box: Sandbox, n: int) -> JobKey:
    from streams.wire.envelope import decode

    for record in box.cluster.log.records(box.cluster.names.queue("bulk")):
        envelope = decode(record)
        if envelope.key == f"part:{n}":
            return JobKey(name="part", ordering_key=envelope.key, id=envelope.id)
    raise AssertionError("it was not sent")


async def test_when_all_are_to_complete_a_dead_child_is_waited_for_until_its_replay_completes():
    async with Sandbox(*HANDLERS) as box:
        await box.enqueue(Start(children=("ok", "dead"), when="completed"))
        waits = callback(box)
        assert waits.reason == (
            "waits until all of its 2 jobs are completed: 1 are; 1 failed, and can be replayed"
        )
        mended.append(True)
        await box.replay(children(box)[1])
        assert calls == [BatchCounts(size=2, completed=2, failed=0)]


async def test_when_all_are_to_complete_and_one_never_will_the_callback_is_cancelled():
    async with Sandbox(*HANDLERS) as box:
        await box.enqueue(Start(children=("ok", "discarded"), when="completed"))
        over = callback(box)
        assert over.state is State.CANCELLED
        assert over.reason == "not all of its jobs can be completed any more"
        assert calls == []


async def test_a_repeated_run_of_the_parent_finds_the_same_batch_again():
    @job(name="start", retry=Retry(attempts=2, backoff=Fixed("1s")))
    async def start_twice(payload: Start, ctx: JobContext) -> str:
        id_ = await ctx.enqueue_batch(batch_of(payload), then=Gather())
        if ctx.attempt == 1:
            raise ConnectionError("after it was sent")
        return id_

    async with Sandbox(start_twice, part, gather) as box:
        key = await box.enqueue(Start(children=("ok", "ok", "ok")))
        await box.advance("1s")
        assert calls == [BatchCounts(size=3, completed=3, failed=0)]
        assert len(box.enqueued(Part)) == 6
        assert box.result(key) == callback(box).job.id


async def test_the_same_batch_twice_in_one_run_is_two_batches():
    @job(name="start", retry=Retry(attempts=2, backoff=Fixed("1s")))
    async def start_two(payload: Start, ctx: JobContext) -> list[str]:
        ids = [await ctx.enqueue_batch(batch_of(payload), then=Gather()) for _ in range(2)]
        if ctx.attempt == 1:
            raise ConnectionError("after they were sent")
        return ids

    async with Sandbox(start_two, part, gather) as box:
        key = await box.enqueue(Start(children=("ok", "ok")))
        await box.advance("1s")
        assert len(set(box.result(key))) == 2
        assert calls == [BatchCounts(size=2, completed=2, failed=0)] * 2


async def test_a_callback_does_not_expire_because_its_children_took_long_and_its_key_is_busy():
    go_on = asyncio.Event()

    @job(name="gather", expires="1h")
    async def gather_soon(payload: Gather, ctx: JobContext) -> None:
        if ctx.batch is None:
            await go_on.wait()  # it holds the key
        calls.append(ctx.batch)

    @job(name="part", timeout="3h", retry=Retry(attempts=2, backoff=Fixed("2h")))
    async def part_slow(payload: Part, ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")

    async with Sandbox(start, part_slow, gather_soon) as box:
        await box.enqueue(Start(children=("x",)))
        await box.advance("119m")
        holding = asyncio.create_task(box.enqueue(Gather()))
        clock = box.cluster.clock
        for _ in range(100):
            await asyncio.sleep(0)
        clock.set(clock.now() + 60_000)
        for _ in range(300):
            await asyncio.sleep(0)
        go_on.set()
        await holding
        await box.advance("1s")
        assert calls == [None, BatchCounts(size=1, completed=1, failed=0)]


async def test_a_replayed_parent_makes_a_batch_of_its_own():
    @job(name="start", retry=Retry(attempts=1))
    async def start_dead(payload: Start, ctx: JobContext) -> str:
        await ctx.enqueue_batch(batch_of(payload), then=Gather())
        if not ctx.generation:
            raise PermanentError("after it was sent")
        return ""

    async with Sandbox(start_dead, part, gather) as box:
        key = await box.enqueue(Start(children=("ok",)))
        await box.replay(key)
        assert len(calls) == 2


async def test_a_worker_that_crashes_and_a_lost_disk_lose_no_report():
    async with Sandbox(*HANDLERS) as box:
        await box.enqueue(Start(children=("ok", "retried", "dead")))
        assert calls == []
        await crash(box)
        await box.advance("30s")
        assert calls == [BatchCounts(size=3, completed=2, failed=1)]


async def test_a_waiting_callback_holds_up_nobody_of_its_key_and_can_be_cancelled():
    async with Sandbox(*HANDLERS) as box:
        await box.enqueue(Start(children=("retried",)))
        waits = callback(box)
        assert isinstance(waits, OpenEntry) and not waits.blocks
        await box.cancel(waits.job)
        assert callback(box).state is State.CANCELLED
        await box.advance("5s")
        assert calls == []


async def test_a_callback_that_no_handler_knows_yet_keeps_its_reports():
    async with Sandbox(start, part) as box:
        await box.enqueue(Start(children=("ok", "ok")))
        held = callback(box)
        assert isinstance(held, OpenEntry) and held.tally is not None
        assert held.tally.counts() == BatchCounts(size=2, completed=2, failed=0)


async def test_functions_in_threads_enqueue_batches_too():
    @job(name="start")
    def start_in_thread(payload: Start, ctx: SyncJobContext) -> str:
        return ctx.enqueue_batch(batch_of(payload), then=Gather())

    async with Sandbox(start_in_thread, part, gather) as box:
        await box.enqueue(Start(children=("ok", "ok")))
        assert calls == [BatchCounts(size=2, completed=2, failed=0)]


async def test_what_is_no_batch_fails_and_says_why():
    told: list[str] = []

    @job(name="start")
    async def start_wrong(payload: Start, ctx: JobContext) -> None:
        for wrong in (
            lambda: ctx.enqueue_batch([Part(n=1, ends="ok"), "two"], then=Gather()),
            lambda: ctx.enqueue_batch([Part(n=1, ends="ok")], then=Gather(), when="never"),
        ):
            try:
                await wrong()
            except (TypeError, ValueError) as error:
                told.append(str(error))

    async with Sandbox(start_wrong, part, gather) as box:
        await box.enqueue(Start(children=()))
        assert told == [
            "ctx.enqueue_batch(...) takes JobPayloads, not str: declare one "
            "(see streams.contracts)",
            "ctx.enqueue_batch(when='never'): it is one of over, completed",
        ]
        assert box.enqueued(Part) == []


async def test_a_queue_that_another_group_claims_later_is_known_for_reports() -> None:
    async with Sandbox() as box:
        engine = box.cluster.workers[0].engine
        place = next(iter(engine.queues.values())).place
        assert "theirs" not in place.queues
        await Control(box.cluster.log, box.cluster.names.control).claim(["theirs"], "another")
        await engine.look_at_control()
        assert "theirs" in place.queues
