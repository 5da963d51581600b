"""Handlers that take many jobs in one call: how many, when, in what order, and what fails."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from steps import cluster_of, clusters, crash, for_a_while, kill_all, over, pass_time, send

from streams import (
    Batch,
    BatchContext,
    Discard,
    Event,
    Fixed,
    ItemsFailed,
    JobContext,
    JobPayload,
    Middleware,
    PermanentError,
    Retry,
    job,
)
from streams.client_handle import Handle
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Outcome
from streams.jobs.states import State
from streams.testing.cluster import MemoryCluster
from streams.testing.sandbox import Sandbox
from streams.wire.state import OpenEntry

ONCE_MORE = Retry(attempts=3, backoff=Fixed("1s"))


class Document(JobPayload, name="document"):
    n: int


class Row(JobPayload, name="row", key="table"):
    table: str
    n: int


class Line(JobPayload, name="line", key="table"):
    table: str
    n: int


class Stuck(JobPayload, name="stuck_item"):
    n: int


class Signed(Event, type="user.signed", key="user"):
    user: int


class Loose(JobPayload, name="loose_item"):
    n: int


calls: list[list[Any]] = []
fails: dict[int, list[BaseException]] = {}
contexts: list[BatchContext] = []
told: list[str] = []


@pytest.fixture(autouse=True)
def nothing_yet(all_ends: None) -> None:
    for each in (calls, contexts, told, now_running, most_at_once):
        each.clear()
    fails.clear()


@job(batch=Batch(10, wait="2s"), retry=ONCE_MORE)
async def index(documents: list[Document], ctx: BatchContext) -> list[int]:
    calls.append([document.n for document in documents])
    contexts.append(ctx)
    failed = {
        place: fails[document.n].pop(0)
        for place, document in enumerate(documents)
        if fails.get(document.n)
    }
    if failed:
        raise ItemsFailed(failed)
    return [document.n * 2 for document in documents]


@job(batch=Batch(5, wait="1s"), retry=ONCE_MORE)
async def load(rows: list[Row]) -> None:
    calls.append([(row.table, row.n) for row in rows])
    failed = {p: fails[row.n].pop(0) for p, row in enumerate(rows) if fails.get(row.n)}
    if failed:
        raise ItemsFailed(failed)


@job(batch=Batch(5, wait="1s", by="key"), concurrency=2)
def append(lines: list[Line]) -> None:
    calls.append([(line.table, line.n) for line in lines])


@job(batch=Batch(3, wait="1s"))
async def welcome(events: list[Signed]) -> None:
    calls.append([event.user for event in events])


def state_of(box: Sandbox, job: Handle | JobKey) -> State | str:
    key = job.job if isinstance(job, Handle) else job
    return next(found.state for found in box.jobs() if found.job == key)


async def test_a_call_has_as_many_as_fit_and_the_rest_waits_for_its_time() -> None:
    async with Sandbox(index) as box:
        sent = [await box.enqueue(Document(n=n)) for n in range(23)]
        assert sorted(len(call) for call in calls) == [10, 10]
        await box.advance("1900ms")
        assert len(calls) == 2
        executor = box.cluster.workers[0].engine.executor
        assert executor.told_calls(9) == [
            {"name": "document", "key": None, "reason": "3 of 10 are there"}
        ]
        await box.advance("200ms")
        assert executor.told_calls(9) == []
        assert [len(call) for call in calls] == [10, 10, 3]
        assert sorted(n for call in calls for n in call) == list(range(23))
        assert [box.result(each) for each in sent] == [2 * n for n in range(23)]
        ctx = contexts[-1]
        assert len(ctx.jobs) == 3 and {each.attempt for each in ctx.jobs} == {1}
        assert len({each.idempotency_key for each in ctx.jobs}) == 3


async def test_after_a_worker_has_died_jobs_run_in_calls_and_after_the_second_time_alone() -> None:
    async with Sandbox(index, partitions=1) as box:
        await box.enqueue(Document(n=0))
        await box.advance("2s")
        await kill_all(box)
        for n in range(1, 11):
            send(box.cluster, Document(n=n))
        await crash(box)
        await box.advance("2s")
        assert [len(call) for call in calls] == [1, 10]
        # given jobs that were there at two such ends
        await kill_all(box)
        for n in range(11, 16):
            send(box.cluster, Document(n=n))
        await crash(box)
        await box.cluster.settle()
        assert [entry.starts for entry in box._open().values()] == [1] * 5
        await crash(box)
        await box.advance("2s")
        assert [len(call) for call in calls] == [1, 10] + [1] * 5


async def test_what_failed_is_tried_again_and_the_others_are_over() -> None:
    fails.update(
        {
            1: [ValueError("once")],
            2: [PermanentError("never")],
            3: [Discard("nobody wants it")],
            4: [OSError("1"), OSError("2"), OSError("3")],
        }
    )
    async with Sandbox(index) as box:
        sent = [await box.enqueue(Document(n=n)) for n in range(6)]
        await box.advance("2s")
        assert [state_of(box, each) for each in sent] == [
            State.COMPLETED,
            State.RETRYING,
            State.DEAD,
            State.DISCARDED,
            State.RETRYING,
            State.COMPLETED,
        ]
        await box.advance("30s")
        assert sorted(calls[1]) == [1, 4] and calls[2:] == [[4]]
        assert state_of(box, sent[1]) is State.COMPLETED
        assert state_of(box, sent[4]) is State.DEAD


@job(batch=Batch(4, wait="1s"), retry=ONCE_MORE)
async def wrong(items: list[Loose]) -> Any:
    calls.append([item.n for item in items])
    match len(calls):
        case 1:
            raise OSError("all of them")
        case 2:
            raise ItemsFailed({7: ValueError("there is no such item")})
        case _:
            return [1, 2, 3]


async def test_an_error_of_the_call_and_what_makes_no_sense_fail_all_of_it() -> None:
    async with Sandbox(wrong) as box:
        for n in range(2):
            await box.enqueue(Loose(n=n))
        errors = []
        for _ in range(3):
            await box.advance("2s")
            failures = [found.failure for found in box.jobs() if isinstance(found, OpenEntry)]
            errors.append({failure.message for failure in failures if failure is not None})
        assert [sorted(call) for call in calls] == [[0, 1]] * 3
        assert [len(each) for each in errors] == [1, 1, 1]
        assert errors[0] == {"all of them"} and "no job 7" in errors[1].pop()
        assert "a list of 2 results" in errors[2].pop()
        assert {found.state for found in box.jobs()} == {State.DEAD}


async def test_jobs_of_a_key_are_in_order_in_a_call_and_through_retries() -> None:
    fails[3] = [ValueError("once")]
    async with Sandbox(load, partitions=1) as box:
        for n in range(12):
            await box.enqueue(Row(table="ab"[n % 2], n=n))
        await box.advance("1m")
        seen = [row for call in calls for row in call]
        for table in "ab":
            numbers = [n for of, n in seen if of == table]
            once = list(dict.fromkeys(numbers))
            assert once == sorted(once)
        behind = seen.index(("b", 3), seen.index(("b", 3)) + 1)
        assert all(seen.index(("b", n)) > behind for n in (5, 7, 9, 11) if ("b", n) not in calls[0])
        assert len(box.jobs(state=State.COMPLETED)) == 12


async def test_by_key_a_call_has_jobs_of_one_key_in_their_order() -> None:
    async with Sandbox(append) as box:
        for n in range(24):
            await box.enqueue(Line(table="abc"[n % 3], n=n))
        await box.advance("10s")
        assert all(len({table for table, _ in call}) == 1 for call in calls)
        for table in "abc":
            numbers = [n for call in calls for of, n in call if of == table]
            assert numbers == sorted(numbers) and len(numbers) == 8
        assert len(calls) == 6  # five and three of each


async def test_events_come_in_batches_too() -> None:
    async with Sandbox(welcome) as box:
        for user in range(3):
            await box.emit(Signed(user=user))
        assert sorted(calls[0]) == [0, 1, 2]


async def test_a_job_that_is_cancelled_while_it_waits_is_in_no_call() -> None:
    async with Sandbox(index) as box:
        sent = [await box.enqueue(Document(n=n)) for n in range(3)]
        await box.cancel(sent[0])
        await box.advance("3s")
        assert calls == [[1, 2]]
        alone = await box.enqueue(Document(n=9))
        await box.cancel(alone)
        await box.advance("3s")
        assert calls == [[1, 2]]
        assert state_of(box, alone) is State.CANCELLED


class Tells(Middleware):
    async def before(self, ctx: JobContext, payload: Any) -> None:
        told.append(f"before {payload.n}")
        if payload.n == 1:
            raise Discard("the middleware says so")

    async def after(self, ctx: JobContext, payload: Any, error: BaseException | None) -> None:
        told.append(f"after {payload.n} {type(error).__name__}")

    async def on_outcome(self, ctx: JobContext, outcome: Outcome) -> None:
        told.append(f"{type(outcome).__name__} {ctx.attempt}")


async def test_middleware_goes_around_each_job() -> None:
    fails[2] = [ValueError("once")]
    async with Sandbox(index, middleware=[Tells()]) as box:
        for n in range(3):
            await box.enqueue(Document(n=n))
        await box.advance("2s")
        assert calls == [[0, 2]]
        assert told[:4] == ["before 0", "before 1", "after 1 Discard", "before 2"]
        assert sorted(told[4:6]) == ["after 0 NoneType", "after 2 ValueError"]
        assert sorted(told[6:]) == ["Completed 1", "Discarded 1", "Retrying 1"]


@job(batch=Batch(4, wait="1s"), timeout="5s", retry=Retry(attempts=1))
async def hangs(items: list[Stuck]) -> None:
    calls.append([item.n for item in items])
    await asyncio.Event().wait()


async def test_a_call_that_takes_too_long_is_interrupted() -> None:
    async with Sandbox(hangs) as box:
        sending = asyncio.ensure_future(_send(box, 3))
        for _ in range(200):
            await asyncio.sleep(0)
        box.cluster.clock.set(box.cluster.clock.now() + 1_000)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(calls) == 1
        box.cluster.clock.set(box.cluster.clock.now() + 5_000)
        await sending
        await box.advance("10s")
        assert {found.state for found in box.jobs()} == {State.DEAD}


async def _send(box: Sandbox, count: int) -> None:
    for n in range(count):
        await box.enqueue(Stuck(n=n))


class Slow(JobPayload, name="slow_row", key="k"):
    k: int
    n: int


now_running: list[int] = []
most_at_once: list[int] = []


@job(batch=Batch(4, wait="500ms"), concurrency=1, timeout="1h")
async def slow(items: list[Slow], ctx: BatchContext) -> None:
    calls.append([(item.k, item.n) for item in items])
    now_running.append(1)
    most_at_once.append(len(now_running))
    try:
        await for_a_while(3_000)
        told.extend(f"{item.k} {item.n}" for item in items)
    finally:
        now_running.pop()


@pytest.fixture
def cluster() -> MemoryCluster:
    return cluster_of(slow)


@pytest.mark.parametrize("near_ms", [0, 10_000])
async def test_calls_count_for_a_limit_and_what_waits_for_it_holds_no_offset(
    cluster: MemoryCluster, near_ms: int
) -> None:
    cluster.near_ms = near_ms
    worker = await cluster.start_worker("a")
    for n in range(40):
        send(cluster, Slow(k=n, n=n))
    await pass_time(cluster, 14_000)
    held = sum(pipeline.watermark.held for pipeline in worker.engine.queues.values())
    assert held <= 8  # what runs, and a group that came next
    await pass_time(cluster, 120_000)
    assert over(cluster) == 40 and max(most_at_once) == 1
    assert sorted(told) == sorted(f"{n} {n}" for n in range(40))


@pytest.mark.parametrize("seed", range(8))
async def test_a_call_that_has_lost_some_of_its_jobs_to_another_worker_goes_on_without_them(
    cluster: MemoryCluster, seed: int
) -> None:
    rng = random.Random(seed)
    await cluster.start_worker("a")
    for n in range(60):
        send(cluster, Slow(k=rng.randrange(12), n=n))
    await pass_time(cluster, rng.randrange(500, 4_000))
    await cluster.start_worker("b")
    await pass_time(cluster, rng.randrange(1_000, 20_000))
    if rng.random() < 0.5:
        await cluster.kill(rng.choice(cluster.workers))
    await pass_time(cluster, 300_000)
    assert over(cluster) == 60
    for k in range(12):
        ended = [int(each.split()[1]) for each in told if each.startswith(f"{k} ")]
        once = list(dict.fromkeys(ended))
        assert once == sorted(once)


@job(batch=Batch(4, wait="500ms"), retry=Retry(attempts=1), timeout="1h")
async def looks(items: list[Stuck], ctx: BatchContext) -> None:
    calls.append([item.n for item in items])
    for item, each in zip(items, ctx.jobs, strict=True):
        await for_a_while(1_000)
        each.raise_if_cancelled()
        told.append(f"did {item.n}")


async def test_one_that_is_cancelled_while_its_call_runs_ends_alone() -> None:
    async with Sandbox(looks, partitions=1) as box:
        clusters[:] = [box.cluster]
        sending = asyncio.ensure_future(_send(box, 3))
        for _ in range(300):
            await asyncio.sleep(0)
        await pass_time(box.cluster, 1_700)
        assert told == ["did 0"]
        jobs = [a.job for p in box.cluster.workers[0].engine.queues.values() for a in p.hand]
        cancelling = asyncio.ensure_future(box.cancel(jobs[1]))
        await pass_time(box.cluster, 10_000)
        await asyncio.gather(sending, cancelling)
        # The handler let its cancellation through; the others are called again, as if for the first
        # time.
        assert [sorted(call) for call in calls] == [[0, 1, 2], [0, 2]]
        assert {str(found.state) for found in box.jobs()} == {"completed", "cancelled"}
        assert state_of(box, jobs[1]) is State.CANCELLED
