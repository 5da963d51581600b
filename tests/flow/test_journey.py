"""One job's way through the whole pipeline, on the in-memory ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

import pytest

from streams import (
    Discard,
    Event,
    Fixed,
    JobContext,
    JobPayload,
    PermanentError,
    Retry,
    RetryAfter,
    Snooze,
    job,
)
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening
from streams.testing.sandbox import Sandbox
from streams.wire.envelope import Envelope, JobOverrides, encode
from streams.worker.ports import Append
from streams.worker.settlement import Settlement


class Signed(Event, type="user.signed_up", key="user_id"):
    user_id: int


class Step(JobPayload, name="step", key="account"):
    account: int
    n: int
    fails: int = 0


class Loose(JobPayload, name="loose"):
    n: int


async def test_an_event_starts_one_job_for_each_subscriber_and_a_copy_starts_none():
    # given two subscribers
    seen: list[str] = []

    @job(name="first")
    async def first(event: Signed) -> None:
        seen.append("first")

    @job(name="second", queue="critical")
    async def second(event: Signed, ctx: JobContext) -> int:
        seen.append("second")
        return event.user_id

    async with Sandbox(first, second) as box:
        # when the event comes twice
        id_ = await box.emit(Signed(user_id=7))
        await box.emit(Signed(user_id=7), id=id_)
        # then each ran once
        assert sorted(seen) == ["first", "second"]
        assert len(box.jobs(state="completed")) == 2


async def test_while_a_job_is_retried_its_key_waits_and_others_flow():
    # given a handler that fails as often as it is told
    order: list[tuple[int, int]] = []

    @job(retry=Retry(attempts=3, backoff=Fixed("10s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        if ctx.attempt <= payload.fails:
            raise ValueError("not yet")
        order.append((payload.account, payload.n))

    async with Sandbox(step) as box:
        # when the first job of key 1 fails
        await box.enqueue(Step(account=1, n=1, fails=1))
        await box.enqueue(Step(account=1, n=2))
        await box.enqueue(Step(account=2, n=3))
        await box.enqueue(Step(account=1, n=4))
        # then key 1 waits, durably, and key 2 does not
        assert order == [(2, 3)]
        assert len(box.jobs(state="retrying")) == 1
        assert len(box.jobs(state="parked")) == 2
        # and nothing starts a millisecond early
        await box.advance("9999ms")
        assert order == [(2, 3)]
        await box.advance("1ms")
        assert order == [(2, 3), (1, 1), (1, 2), (1, 4)]
        assert len(box.jobs(state="completed")) == 4
        assert len(box.jobs()) == 4


async def test_a_job_that_gives_up_is_dead_and_its_replay_runs_it_again():
    broken = True

    @job(retry=Retry(attempts=2, backoff=Fixed("1s")))
    async def step(payload: Step) -> str:
        if broken:
            raise ConnectionError("down")
        return "sent"

    async with Sandbox(step) as box:
        # when its attempts are spent
        key = await box.enqueue(Step(account=1, n=1))
        await box.advance("1s")
        # then it has a letter, whole
        (dead,) = box.jobs(state="dead")
        assert dead.attempts == 2
        (letter,) = box.cluster.latest(box.cluster.names.dead).values()
        assert Step.model_validate_json(letter) == Step(account=1, n=1)
        # and its replay, once the fault is mended, completes it and removes the letter
        broken = False
        await box.replay(key)
        assert box.result(key) == "sent"
        assert box.jobs(state="dead") == []
        assert box.cluster.latest(box.cluster.names.dead) == {}
        # and a second replay changes nothing
        await box.replay(key)
        assert len(box.jobs(state="completed")) == 1


async def test_what_a_handler_raises_decides():
    @job
    async def loose(payload: Loose, ctx: JobContext) -> None:
        match payload.n:
            case 1:
                raise PermanentError("never")
            case 2:
                raise Discard("of no use")
            case 3 if ctx.attempt == 1:
                raise RetryAfter("5m")
            case 4:
                raise Snooze("1h")

    async with Sandbox(loose) as box:
        for n in (1, 2, 3, 4):
            await box.enqueue(Loose(n=n))
        assert len(box.jobs(state="dead")) == 1
        assert len(box.jobs(state="discarded")) == 1
        (retrying,) = box.jobs(state="retrying")
        assert retrying.due == box.cluster.clock.now() + 300_000
        (sleeping,) = box.jobs(state="sleeping")
        assert sleeping.attempts == 0 and sleeping.run == 1
        await box.advance("5m")
        assert len(box.jobs(state="completed")) == 1


async def test_a_delayed_job_runs_at_its_time_and_a_cancelled_one_never():
    ran: list[int] = []

    @job
    async def loose(payload: Loose) -> None:
        ran.append(payload.n)

    async with Sandbox(loose) as box:
        await box.enqueue(Loose(n=1), delay="365d")
        gone = await box.enqueue(Loose(n=2), delay="1d")
        await box.cancel(gone)
        await box.advance("364d")
        assert ran == []
        await box.advance("1d")
        assert ran == [1]
        assert len(box.jobs(state="cancelled")) == 1


async def test_an_id_runs_once_inside_its_window_and_again_outside_it():
    ran: list[int] = []

    @job(unique_for="1h")
    async def loose(payload: Loose) -> None:
        ran.append(payload.n)

    async with Sandbox(loose) as box:
        await box.enqueue(Loose(n=1), id="same")
        await box.advance("59m")
        await box.enqueue(Loose(n=2), id="same")
        await box.advance("1m")
        await box.enqueue(Loose(n=3), id="same")
        assert ran == [1, 3]


async def test_a_running_job_is_cancelled_and_its_key_goes_on():
    started = asyncio.Event()
    ended: list[int] = []

    @job
    async def step(payload: Step) -> None:
        if payload.n == 1:
            started.set()
            await asyncio.Event().wait()
        ended.append(payload.n)

    async with Sandbox(step) as box:
        first = asyncio.create_task(box.enqueue(Step(account=1, n=1), id="one"))
        await started.wait()
        second = asyncio.create_task(box.enqueue(Step(account=1, n=2)))
        await box.cancel(JobKey(name="step", ordering_key="step:1", id="one"))
        await asyncio.gather(first, second)
        assert ended == [2]
        assert len(box.jobs(state="cancelled")) == 1


async def test_an_attempt_that_overruns_its_timeout_is_a_failed_attempt():
    forever = asyncio.Event()

    @job(timeout="30s", retry=Retry(attempts=1))
    async def loose(payload: Loose) -> None:
        await forever.wait()

    async with Sandbox(loose) as box:
        enqueuing = asyncio.create_task(box.enqueue(Loose(n=1)))
        while not any(event.happening is Happening.STARTED for event in box.events):
            await asyncio.sleep(0)
        box.cluster.clock.set(box.cluster.clock.now() + 30_000)
        await enqueuing
        (dead,) = box.jobs(state="dead")
        assert "TimeoutError" in dead.failure.type


async def test_a_payload_that_does_not_fit_is_dead_with_the_field_named():
    @job
    async def step(payload: Step) -> None:
        raise AssertionError("must not run")

    class Other(JobPayload, name="step"):
        wrong: str

    async with Sandbox(step) as box:
        await box.enqueue(Other(wrong="x"))
        (dead,) = box.jobs(state="dead")
        assert dead.failure.type == "PayloadInvalid"
        assert dead.failure.message.startswith("account:")


async def test_bytes_that_are_no_job_become_a_letter_and_stop_nothing():
    @job
    async def loose(payload: Loose) -> int:
        return payload.n

    async with Sandbox(loose, partitions=1) as box:
        box.cluster.log.write(Append("jobs.default", 0, b"k", b"\xff\x00"))
        key = await box.enqueue(Loose(n=3))
        assert box.result(key) == 3
        assert list(box.cluster.latest("jobs.dead").values()) == [b"\xff\x00"]


async def test_children_are_sent_once_though_their_parent_runs_twice():
    @job(retry=Retry(attempts=2, backoff=Fixed("1s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        await ctx.enqueue(Loose(n=1))
        await ctx.enqueue(Loose(n=1))
        if ctx.attempt == 1:
            raise ValueError("after its children")

    ran: list[int] = []

    @job
    async def loose(payload: Loose) -> None:
        ran.append(payload.n)

    async with Sandbox(step, loose) as box:
        await box.enqueue(Step(account=1, n=1))
        await box.advance("1s")
        assert ran == [1, 1]


async def test_a_function_runs_in_a_thread():
    @job
    def loose(payload: Loose) -> int:
        return payload.n * 2

    async with Sandbox(loose) as box:
        assert box.result(await box.enqueue(Loose(n=4))) == 8


@pytest.mark.parametrize("lost", [False, True])
async def test_a_worker_that_crashed_goes_on_where_it_was(lost: bool):
    ran: list[int] = []

    @job(retry=Retry(attempts=3, backoff=Fixed("1s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        if ctx.attempt == 1 and payload.fails:
            raise ValueError("first")
        ran.append(payload.n)

    async with Sandbox(step) as box:
        await box.enqueue(Step(account=1, n=1, fails=1))
        await box.enqueue(Step(account=1, n=2))
        await box.cluster.kill(box.cluster.workers[0])
        if lost:
            box.cluster.lose_disks()
        await box.cluster.start_worker("w1")
        await box.advance("1s")
        assert ran == [1, 2]
        assert len(box.jobs(state="completed")) == 2
        box._worker = box.cluster.workers[0]


async def test_what_one_job_overrides_is_obeyed():
    @job(retry=Retry(attempts=5, backoff=Fixed("1h")))
    async def loose(payload: Loose) -> None:
        raise ValueError("always")

    async with Sandbox(loose, partitions=1) as box:
        now = box.cluster.clock.now()
        key, value, headers = encode(
            Envelope(
                id="one",
                name="loose",
                source="test",
                time=now,
                payload=b'{"n": 1}',
                options=JobOverrides(attempts=2, backoff=Fixed("3s")),
            )
        )
        box.cluster.log.write(Append("jobs.default", 0, key, value, headers))
        await box.cluster.settle()
        (retrying,) = box.jobs(state="retrying")
        assert retrying.due == now + 3_000
        await box.advance("3s")
        (dead,) = box.jobs(state="dead")
        assert dead.attempts == 2


async def test_a_cancel_that_comes_before_its_job_is_read_is_kept_also_through_a_crash():
    ran: list[int] = []

    @job
    async def loose(payload: Loose) -> None:
        ran.append(payload.n)

    async with Sandbox(loose, partitions=1) as box:
        # given a queue that is not read, and a cancel that is
        (worker,) = box.cluster.workers
        sources, worker.sources = worker.sources, []
        gone = await box.enqueue(Loose(n=1))
        await box.enqueue(Loose(n=2))
        await box.cancel(gone)
        # when the worker crashes, and the next one reads both
        worker.sources = sources
        await box.cluster.kill(worker)
        box._worker = await box.cluster.start_worker("w2")
        await box.cluster.settle()
        # then the cancelled job never ran
        assert ran == [2]
        assert len(box.jobs(state="cancelled")) == 1


async def test_a_key_freed_during_a_rebalance_goes_on_when_the_partition_comes_back():
    held = asyncio.Event()
    ran: list[int] = []

    @job(retry=Retry(attempts=2, backoff=Fixed("1s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        if payload.n == 1 and ctx.attempt == 1:
            raise ValueError("first")
        if payload.n == 1:
            await held.wait()
        ran.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        # given a retried job that runs, and one that is parked behind it
        await box.enqueue(Step(account=1, n=1))
        await box.enqueue(Step(account=1, n=2))
        pipeline = box.cluster.workers[0].engine.queues[("default", 0)]
        advancing = asyncio.create_task(box.advance("1s"))
        while not pipeline.running:
            await asyncio.sleep(0)
        # when the first ends while the partition's fate is not known
        await pipeline.drain()
        held.set()
        while not ran:
            await asyncio.sleep(0)
        await pipeline.drain()
        assert not box.jobs(state="completed")
        # and the partition comes back
        pipeline.resume()
        await advancing
        await box.cluster.settle()
        # then the second runs
        assert ran == [1, 2]


async def test_a_partition_that_cannot_go_on_says_so(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of the engine")

    @job
    async def loose(payload: Loose) -> None: ...

    async with Sandbox(loose, partitions=1) as box:
        pipeline = box.cluster.workers[0].engine.queues[("default", 0)]
        told: list[BaseException] = []
        pipeline._on_failure = told.append
        monkeypatch.setattr(pipeline._outcomes, "conclude_all", fail)
        await asyncio.wait_for(_until(lambda: bool(told), box.enqueue(Loose(n=1))), 10)
        assert str(told[0]) == "a fault of the engine"


async def test_a_partition_that_cannot_go_on_starts_nothing_more(monkeypatch: pytest.MonkeyPatch):
    started: list[int] = []

    @job
    async def step(payload: Step) -> None:
        started.append(payload.n)

    async def fail(*_: object) -> None:
        raise RuntimeError("a fault of the engine")

    async with Sandbox(step, partitions=1) as box:
        pipeline = box.cluster.workers[0].engine.queues[("default", 0)]
        told: list[BaseException] = []
        pipeline._on_failure = told.append
        monkeypatch.setattr(Settlement, "write", fail)
        enqueuing = [asyncio.create_task(box.enqueue(Step(account=1, n=1)))]
        await asyncio.wait_for(_until(lambda: bool(told), asyncio.sleep(0)), 10)
        for n in (2, 3):
            enqueuing.append(asyncio.create_task(box.enqueue(Step(account=n, n=n))))
        for _ in range(100):
            await asyncio.sleep(0)
        for task in enqueuing:
            task.cancel()
        assert started == [1]


async def _until(condition: Callable[[], bool], work: Coroutine[object, object, object]) -> None:
    task = asyncio.create_task(work)  # it never ends: its partition is dead
    while not condition():
        await asyncio.sleep(0)
    task.cancel()


async def test_a_job_does_not_wait_for_a_write_that_has_nothing_to_do_with_it(
    monkeypatch: pytest.MonkeyPatch,
):
    started: list[int] = []

    @job
    async def step(payload: Step) -> None:
        started.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        # given a job whose ledger record is being written
        log = box.cluster.log
        append, writes, written = log.append, asyncio.Event(), asyncio.Event()

        async def slowly(records: Sequence[Append]) -> Sequence[int]:
            writes.set()
            await written.wait()
            return await append(records)

        monkeypatch.setattr(log, "append", slowly)
        enqueuing = [asyncio.create_task(box.enqueue(Step(account=1, n=1), id="1"))]
        await writes.wait()
        assert started == [1]
        # when others come: of other keys, a copy of it, the next of its key, and one more
        for n, (account, id_) in enumerate([(2, "2"), (3, "3"), (1, "1"), (1, "5"), (4, "6")], 2):
            enqueuing.append(asyncio.create_task(box.enqueue(Step(account=account, n=n), id=id_)))
        for _ in range(100):
            await asyncio.sleep(0)
        # then those start that come before the one that must wait
        assert started == [1, 2, 3]
        written.set()
        await asyncio.gather(*enqueuing)
        await box.cluster.settle()
        assert started == [1, 2, 3, 5, 6]
        assert len(box.jobs(state="completed")) == 5
