"""What the open table carries: long runs, halted keys, names that nobody knows, bounds, commits."""

from __future__ import annotations

import asyncio

import pytest
from steps import ask, crash, pipeline, put, until

from streams import Fixed, JobContext, JobPayload, PermanentError, Retry, job
from streams.errors import RegistrationError
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening
from streams.testing.sandbox import Sandbox
from streams.wire.commands import Command
from streams.wire.envelope import Envelope, encode
from streams.wire.state import encode_open
from streams.worker.pipeline import Bounds
from streams.worker.ports import Append


class Step(JobPayload, name="step", key="account"):
    account: int
    n: int
    fails: int = 0


class Loose(JobPayload, name="loose"):
    n: int


async def _let_pass(box: Sandbox, ms: int) -> None:
    """Let time pass while jobs run that do not end."""
    clock = box.cluster.clock
    end = clock.now() + ms
    while (due := clock.next_alarm()) is not None and due <= end:
        clock.set(due)
        for _ in range(20):
            box.cluster.workers[0].pump()
            await asyncio.sleep(0)
    clock.set(end)


async def test_a_long_run_holds_no_offset_and_a_crash_resumes_it_elsewhere():
    held = asyncio.Event()
    starts: list[int] = []
    ended: list[int] = []

    @job
    async def step(payload: Step) -> None:
        starts.append(payload.n)
        if payload.n == 1 and len(starts) == 1:
            await held.wait()
        ended.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        # given a job that is held, one behind it, and one of another key
        tasks = [
            asyncio.create_task(box.enqueue(Step(account=account, n=n)))
            for account, n in ((1, 1), (1, 2), (2, 3))
        ]
        await until(lambda: 3 in ended and len(pipeline(box).hand) == 2)
        assert pipeline(box).watermark.value == 0
        # when it has run for ten seconds
        await _let_pass(box, 11_000)
        # then it holds no offset, and what waits behind it neither
        assert [entry.state for entry in box.jobs(state="running")] == ["running"]
        assert len(box.jobs(state="parked")) == 1
        assert box.cluster.commits[("jobs.default", 0)] == 3
        # and after a crash another worker runs both, in order
        for task in tasks:
            task.cancel()
        await crash(box, "w2")
        await box.cluster.settle()
        assert starts == [1, 3, 1, 2]
        assert ended == [3, 1, 2]
        assert len(box.jobs(state="completed")) == 3
        assert len(box.jobs()) == 3


async def test_many_later_jobs_take_a_held_one_over_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streams.worker.takeover.BEHIND_MAX", 50)
    held = asyncio.Event()

    @job
    async def loose(payload: Loose) -> None:
        if payload.n == 0:
            await held.wait()

    async with Sandbox(loose, partitions=1) as box:
        tasks = [asyncio.create_task(box.enqueue(Loose(n=n))) for n in range(100)]
        await until(lambda: len(box.jobs(state="completed")) == 99)
        assert len(box.jobs(state="running")) == 1
        held.set()
        await asyncio.gather(*tasks)
        await box.advance("1s")
        assert len(box.jobs(state="completed")) == 100
        assert box.cluster.commits[("jobs.default", 0)] == 100


async def test_a_halted_key_waits_for_the_replay_of_its_dead_job():
    broken = True
    ran: list[int] = []

    @job(on_dead="halt")
    async def step(payload: Step) -> None:
        if payload.n == 1 and broken:
            raise PermanentError("not until it is mended")
        ran.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        # given a dead job that halts its key
        dead = await box.enqueue(Step(account=1, n=1))
        for n in (2, 3):
            await box.enqueue(Step(account=1, n=n))
        await box.enqueue(Step(account=2, n=4))
        assert ran == [4]
        # when time passes and the worker changes, nothing of it moves
        await crash(box, "w2")
        await box.advance("1h")
        assert ran == [4]
        # then its replay runs first, and the parked tail behind it
        broken = False
        await box.replay(dead)
        assert ran == [4, 1, 2, 3]
        assert box.cluster.latest("jobs.dead") == {}


async def test_discarding_the_dead_job_lets_a_halted_key_go_on():
    ran: list[int] = []

    @job(on_dead="halt")
    async def step(payload: Step) -> None:
        if payload.n == 1:
            raise PermanentError("for good")
        ran.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        dead = await box.enqueue(Step(account=1, n=1))
        await box.enqueue(Step(account=1, n=2))
        assert ran == []
        await box._command(Command(kind="discard", job=dead.job, reason="of no use"))
        assert ran == [2]
        (gone,) = box.jobs(state="discarded")
        assert gone.reason == "of no use"
        assert box.cluster.latest("jobs.dead") == {}


def test_halting_without_a_key_is_told_at_start_up():
    @job(on_dead="halt")
    async def loose(payload: Loose) -> None: ...

    with pytest.raises(RegistrationError, match="needs a key"):
        Sandbox(loose)


async def test_letters_of_one_key_replay_in_the_order_of_their_arrival():
    broken = True
    ran: list[int] = []

    @job
    async def step(payload: Step) -> None:
        if broken:
            raise PermanentError("down")
        ran.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        dead = [await box.enqueue(Step(account=1, n=n), id=f"id-{9 - n}") for n in range(4)]
        broken = False
        # when all are replayed at once
        for key in dead:
            ask(box.cluster, "replay", key)
        await box.cluster.settle()
        assert ran == [0, 1, 2, 3]


async def _enqueue_unknown(box: Sandbox, name: str, id_: str, key: str | None) -> JobKey:
    envelope = Envelope(
        id=id_,
        name=name,
        source="test",
        time=box.cluster.clock.now(),
        key=key,
        payload=b'{"account": 1, "n": 7}',
    )
    told = put(box.cluster, envelope, 0)
    await box.cluster.settle()
    return told


@pytest.mark.parametrize("key", [None, "step:1"])
async def test_an_unknown_name_waits_for_a_worker_that_knows_it(key: str | None):
    ran: list[int] = []

    @job
    async def loose(payload: Loose) -> None: ...

    @job
    async def step(payload: Step) -> None:
        ran.append(payload.n)

    async with Sandbox(loose, step, partitions=1) as box:
        knows = box.cluster.registry._by_name.pop("step")
        await _enqueue_unknown(box, "step", "one", key)
        await box.advance("1m")
        (waiting,) = box.jobs(state="parked")
        assert "no handler here is named 'step'" in waiting.reason
        # when a worker comes that knows it, it runs as soon as it is looked at again
        box.cluster.registry._by_name["step"] = knows
        await box.advance("2m")
        assert ran == [7]


async def test_an_unknown_name_is_dead_after_15_minutes_and_replays_once_known():
    ran: list[int] = []

    @job
    async def step(payload: Step) -> None:
        ran.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        knows = box.cluster.registry._by_name.pop("step")
        key = await _enqueue_unknown(box, "step", "one", "step:1")
        await box.advance("899s")
        assert box.jobs(state="dead") == []
        await box.advance("1s")
        (dead,) = box.jobs(state="dead")
        assert dead.failure.type == "UnknownJob"
        assert len(box.cluster.latest("jobs.dead")) == 1
        box.cluster.registry._by_name["step"] = knows
        await box.replay(key)
        assert ran == [7]


async def test_a_record_on_the_wrong_partition_is_forwarded_once():
    ran: list[int] = []

    @job
    async def step(payload: Step) -> None:
        ran.append(payload.n)

    async with Sandbox(step, partitions=2) as box:
        right = box.cluster.partition_of(b"step:1")
        envelope = Envelope(
            id="one",
            name="step",
            source="test",
            time=box.cluster.clock.now(),
            key="step:1",
            payload=b'{"account": 1, "n": 7}',
        )
        put(box.cluster, envelope, 1 - right)
        await box.cluster.settle()
        assert ran == [7]
        (record,) = box.cluster.log.topics[("jobs.default", right)]
        assert dict(record.headers) == dict(encode(envelope)[2])
        keys = {
            partition: [
                entry.key
                for entry in box.cluster.log.topics[("jobs.default.ledger", partition)]
                if not entry.key.startswith(b"#")
            ]
            for partition in (0, 1)
        }
        assert len(keys[right]) == 1
        assert not keys[1 - right]


async def test_a_full_open_table_holds_the_queue_back_but_no_command_and_no_timer():
    ran: list[int] = []

    @job(retry=Retry(attempts=2, backoff=Fixed("5s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        if ctx.attempt <= payload.fails:
            raise ValueError("first")
        ran.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        owner = pipeline(box)
        owner._bounds = Bounds(entries=3)
        # given a key that is retried, with as much behind it as the table may hold
        first = await box.enqueue(Step(account=1, n=0, fails=1))
        for n in range(1, 40):
            await box.enqueue(Step(account=1, n=n))
        assert not owner.wants_more
        assert owner.watermark.position < 40
        # then a cancel is obeyed, and the retry starts in time; reading goes on by itself
        second = box.jobs(state="parked")[0]
        await box.cancel(second.job)
        assert len(box.jobs(state="cancelled")) == 1
        await box.advance("5s")
        assert ran == [0, *(n for n in range(1, 40) if n != 1)]
        assert box.result(first) is None


async def test_the_commit_is_kept_in_state_and_used_when_the_group_has_lost_its_own():
    ran: list[int] = []

    @job(unique_for="0ms")
    async def loose(payload: Loose) -> None:
        ran.append(payload.n)

    async with Sandbox(loose, partitions=1) as box:
        for n in range(5):
            await box.enqueue(Loose(n=n))
        await box.advance("1s")
        assert box.cluster.commits[("jobs.default", 0)] == 5
        # when the group's offset has expired, and so has what the ledger knew
        box.cluster.commits.clear()
        box.cluster.log.topics[("jobs.default.ledger", 0)].clear()
        await box.cluster.kill(box.cluster.workers[0])
        box.cluster.lose_disks()
        box._worker = await box.cluster.start_worker("w2")
        await box.enqueue(Loose(n=5))
        # then work goes on from the commit in state
        assert ran == [0, 1, 2, 3, 4, 5]


async def test_what_an_earlier_owner_wrote_late_is_overwritten():
    @job(retry=Retry(attempts=3, backoff=Fixed("10s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        if ctx.attempt <= payload.fails:
            raise ValueError("first")

    async with Sandbox(step, partitions=1) as box:
        key = await box.enqueue(Step(account=1, n=1, fails=1))
        (entry,) = box.jobs(state="retrying")
        state_key, stale = encode_open(entry)
        await box.advance("10s")
        assert len(box.jobs(state="completed")) == 1
        # when a frozen worker writes after the job is over, and the owner writes again
        box.cluster.log.write(Append("jobs.default.retry", 0, state_key, stale))
        box.cluster.log.write(Append("jobs.default.ledger", 0, state_key, b"nonsense"))
        await box.enqueue(Step(account=2, n=2, fails=1))
        await box.advance("10s")
        # then its records are overwritten, and a new owner without a disk sees our state
        assert box.cluster.latest("jobs.default.retry").get(state_key) is None
        assert box.result(key) is None
        await box.cluster.kill(box.cluster.workers[0])
        box.cluster.lose_disks()
        box._worker = await box.cluster.start_worker("w2")
        await box.advance("1h")
        assert len(box.jobs(state="completed")) == 2
        assert len(box.jobs()) == 2


async def test_a_handler_that_swallows_its_cancellation_loses_its_slot():
    stuck = asyncio.Event()

    @job(timeout="1s", retry=Retry(attempts=1))
    async def loose(payload: Loose) -> None:
        while not stuck.is_set():
            try:
                await stuck.wait()
            except asyncio.CancelledError:
                continue

    async with Sandbox(loose, partitions=1) as box:
        enqueuing = asyncio.create_task(box.enqueue(Loose(n=1)))
        try:
            await until(lambda: any(e.happening is Happening.STARTED for e in box.events))
            # when its timeout has passed, and the time to unwind too
            await _let_pass(box, 6_500)
            # then the attempt has failed, and the slot is free
            await until(lambda: len(box.jobs(state="dead")) == 1)
            (dead,) = box.jobs(state="dead")
            assert "TimeoutError" in dead.failure.type
            assert box.cluster.workers[0].engine.executor.running == 0
        finally:
            stuck.set()
        await enqueuing
