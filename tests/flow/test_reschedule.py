"""A job that waits for its time is given another one, wherever it waits and whatever crashes."""

from __future__ import annotations

import asyncio

import pytest
from steps import (
    ask,
    cluster_of,
    crash,
    for_a_while,
    kill_all,
    pass_time,
    pipeline,
    put,
    restart,
    send,
    time_now,
)

from streams import Fixed, JobContext, JobPayload, Retry, Snooze, job
from streams.jobs.identity import JobKey
from streams.testing.sandbox import Sandbox
from streams.wire.commands import Command
from streams.wire.envelope import Envelope
from streams.worker.purge import AT_ONCE as PURGED_AT_ONCE

HOUR = 3_600_000


class Step(JobPayload, name="step", key="account"):
    account: int
    n: int
    do: str = "nothing"


ran: list[tuple[int, int]] = []  # (hour, number)
boxes: list[Sandbox] = []
tries: list[int] = []
began: list[int] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    for each in (ran, boxes, tries, began):
        each.clear()


@job(retry=Retry(attempts=2, backoff=Fixed("1h")))
async def step(payload: Step, ctx: JobContext) -> None:
    if payload.do != "nothing" and payload.n not in tries:
        tries.append(payload.n)
        raise ValueError("first") if payload.do == "fail" else Snooze("1h")
    ran.append((hours(boxes[0]), payload.n))


def hours(box: Sandbox) -> int:
    """How many have passed, to the millisecond: what is early by one is an hour less."""
    return (box.cluster.clock.now() - began[0]) // HOUR


def opened(box: Sandbox) -> Sandbox:
    boxes.append(box)
    began.append(box.cluster.clock.now())
    return box


def due_at(hour: int) -> int:
    return began[0] + hour * HOUR


def ask_for(box: Sandbox, job_key: JobKey, hour: int) -> None:
    ask(box.cluster, "reschedule", job_key, due=due_at(hour))


@pytest.mark.parametrize("hour", [1, 3, 5])
@pytest.mark.parametrize("do", ["nothing", "fail", "snooze"])
async def test_it_runs_at_its_new_time_and_never_at_the_old_one(do: str, hour: int):
    async with Sandbox(step) as it:
        box = opened(it)
        delay = "2h" if do == "nothing" else None
        job_key = await box.enqueue(Step(account=1, n=1, do=do), id="one", delay=delay)
        await box.reschedule(job_key, delay=f"{hour}h")
        await box.advance(f"{hour * HOUR - 1}ms")
        assert ran == []
        await box.advance("1ms")
        assert ran == [(hour, 1)]
        await box.advance("10h")
        assert ran == [(hour, 1)]


async def test_a_time_that_is_past_means_now():
    async with Sandbox(step) as it:
        box = opened(it)
        job_key = await box.enqueue(Step(account=1, n=1), id="one", delay="2h")
        ask_for(box, job_key, -1)
        await box.cluster.settle()
        assert ran == [(0, 1)]


async def test_what_waits_behind_a_job_that_is_retried_later_stays_behind_it():
    async with Sandbox(step) as it:
        box = opened(it)
        first = await box.enqueue(Step(account=1, n=1, do="fail"))
        await box.enqueue(Step(account=1, n=2))
        await box.reschedule(first, delay="4h")
        await box.advance("3h")
        assert ran == []
        await box.advance("1h")
        assert ran == [(4, 1), (4, 2)]


async def test_straight_after_the_enqueue_before_its_queue_was_read():
    async with Sandbox(step) as it:
        box = opened(it)
        await kill_all(box)
        later = send(box.cluster, Step(account=1, n=1), delay=HOUR)
        sooner = send(box.cluster, Step(account=2, n=2), delay=9 * HOUR)
        at_once = send(box.cluster, Step(account=3, n=3), delay=9 * HOUR)
        never = send(box.cluster, Step(account=4, n=4), delay=HOUR)
        for hour, job_key in ((8, later), (4, later), (2, sooner), (0, at_once)):
            ask_for(box, job_key, hour)
        ask_for(box, never, 3)
        ask(box.cluster, "cancel", never)
        ask_for(box, never, 3)
        await crash(box)
        await box.cluster.settle()
        assert ran == [(0, 3)]
        await box.advance("12h")
        assert ran == [(0, 3), (2, 2), (4, 1)]


async def test_the_last_word_holds_through_crashes_and_lost_disks():
    async with Sandbox(step) as it:
        box = opened(it)
        job_key = await box.enqueue(Step(account=1, n=1), id="one", delay="1h")
        for hour in (2, 6, 3):
            ask_for(box, job_key, hour)
            await restart(box, loses_disk=hour == 6)
        await box.advance("2h")
        await restart(box, loses_disk=True)
        assert ran == []
        await box.advance("1h")
        assert ran == [(3, 1)]


async def test_a_command_that_is_read_again_changes_nothing():
    async with Sandbox(step) as it:
        box = opened(it)
        job_key = await box.enqueue(Step(account=1, n=1), id="one", delay="1h")
        ask_for(box, job_key, 5)
        ask_for(box, job_key, 2)
        await box.cluster.settle()
        commands = pipeline(box)._commands
        first = commands._owned.tables.applied(commands._owned.place.commands) - 2
        again = Command(kind="reschedule", job=job_key, due=due_at(5))
        commands.arrive(again, offset=first, queue_end=1)
        pipeline(box)._stir()
        await box.cluster.settle()
        await box.advance("2h")
        assert ran == [(2, 1)]


@pytest.mark.parametrize("state", ["over", "unknown"])
async def test_what_waits_for_no_time_stays_as_it_is(state: str):
    async with Sandbox(step) as it:
        box = opened(it)
        match state:
            case "over":
                job_key = await box.enqueue(Step(account=1, n=1))
            case _:
                job_key = JobKey(name="step", ordering_key="step:1", id="nobody")
        before = [(type(each), each.state) for each in box.jobs()]
        await box.reschedule(job_key, delay="5h")
        assert [(type(each), each.state) for each in box.jobs()] == before
        await box.advance("1h")
        assert [n for _, n in ran] == ([1] if state == "over" else [])


async def test_a_delayed_job_whose_name_nobody_knows_yet_is_not_early():
    async with Sandbox(step) as it:
        box = opened(it)
        envelope = Envelope(
            id="one",
            name="step",
            source="test",
            time=box.cluster.clock.now(),
            queue="default",
            payload=b'{"account": 1, "n": 1}',
            not_before=due_at(2),
        )
        known = box.cluster.registry
        await kill_all(box)
        box.cluster.registry = type(known).build([], known.queues())
        put(box.cluster, envelope, partition=0)
        await crash(box)
        await box.cluster.settle()
        assert [each.state for each in box.jobs()] == ["scheduled"]
        await kill_all(box)
        box.cluster.registry = known
        await crash(box)
        await box.advance(f"{2 * HOUR - 1}ms")
        assert ran == []
        await box.advance("1ms")
        assert ran == [(2, 1)]


class Reminder(JobPayload, name="reminder", key="n"):
    n: int


@job(expires="1d")
async def reminder(payload: Reminder) -> None:
    ran.append((hours(boxes[0]), payload.n))


@pytest.mark.parametrize("is_read", [True, False])
async def test_it_expires_counted_from_its_new_time(is_read: bool):
    async with Sandbox(reminder) as it:
        box = opened(it)
        if is_read:
            job_key = await box.enqueue(Reminder(n=1), id="one", delay="1h")
        else:
            await kill_all(box)
            job_key = send(box.cluster, Reminder(n=1), "one", delay=HOUR)
        ask_for(box, job_key, 48)
        await crash(box)
        await box.cluster.settle()
        await box.advance("48h")
        assert ran == [(48, 1)]


class Endless(JobPayload, name="endless", key="n"):
    n: int


@job
async def endless(payload: Endless) -> None:
    tries.append(payload.n)
    await asyncio.Event().wait()


@pytest.mark.usefixtures("all_ends")
async def test_what_was_told_to_start_now_starts_now_also_after_a_crash():
    cluster = cluster_of(endless, partitions=1)
    job_key = send(cluster, Endless(n=1), delay=72 * HOUR)
    ask(cluster, "reschedule", job_key, due=cluster.clock.now())
    worker = await cluster.start_worker("a")
    await pass_time(cluster, 2_000)
    assert tries == [1]
    await cluster.kill(worker)
    await cluster.start_worker("a")
    await pass_time(cluster, 2_000)
    assert tries == [1, 1]


async def test_a_purge_that_came_before_ends_it_all_the_same():
    async with Sandbox(step, partitions=1) as it:
        box = opened(it)
        jobs = [
            send(box.cluster, Step(account=n, n=n), delay=HOUR) for n in range(3 * PURGED_AT_ONCE)
        ]
        await box.cluster.settle()
        everyone = JobKey(name="", ordering_key=None, id="")
        asked = [Command(kind="purge", job=everyone, until=len(jobs))]
        for job_key in sorted(jobs, key=JobKey.encode)[-20:]:  # to which it comes last
            asked.append(Command(kind="reschedule", job=job_key, due=due_at(2)))
        pipeline(box).command([(each, at) for at, each in enumerate(asked)], len(jobs))
        await box.cluster.settle()
        assert {each.state for each in box.jobs()} == {"cancelled"}


class Narrow(JobPayload, name="narrow"):
    n: int


class InOrder(JobPayload, name="in_order", key="account"):
    account: int
    n: int


@job(concurrency=1)
async def narrow(payload: Narrow) -> None:
    starts.append((payload.n, time_now() - began[0]))
    await for_a_while(10_000)


@job
async def in_order(payload: InOrder) -> None:
    starts.append((payload.n, time_now() - began[0]))
    await for_a_while(10_000)


starts: list[tuple[int, int]] = []  # number, when


@pytest.mark.usefixtures("all_ends")
@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("delay", [None, 5])
@pytest.mark.parametrize("kind", [Narrow, InOrder])
async def test_what_waits_for_its_turn_is_put_off_and_what_runs_is_not(
    kind: type[Narrow | InOrder], delay: int | None, crashes: bool
):
    starts.clear()
    cluster = cluster_of(narrow, in_order, partitions=1)
    began.append(time_now())
    worker = await cluster.start_worker("a")
    # given one that runs, and three that are due and wait behind it
    jobs = [
        send(cluster, Narrow(n=n) if kind is Narrow else InOrder(account=1, n=n), delay=delay)
        for n in range(4)
    ]
    await pass_time(cluster, 1_000)
    assert [n for n, _ in starts] == [0]
    # when the first two are given another time
    for job_key in jobs[:2]:
        ask(cluster, "reschedule", job_key, due=began[0] + HOUR)
    await pass_time(cluster, 1_000)
    if crashes:
        await cluster.kill(worker)
        await cluster.start_worker("a")
    await pass_time(cluster, 60_000)
    # then the one that ran was not stopped, and the other two did not wait
    assert {n for n, _ in starts} == {0, 2, 3}
    await pass_time(cluster, HOUR)
    assert [at for n, at in starts if n == 1] == [HOUR]
    assert [n for n, _ in starts if n != 0] == [2, 3, 1]


@pytest.mark.usefixtures("all_ends")
async def test_what_is_due_in_a_paused_queue_is_put_off():
    starts.clear()
    cluster = cluster_of(narrow, partitions=1)
    began.append(time_now())
    worker = await cluster.start_worker("a")
    worker.engine.executor.pause_queues({"default"}, set())
    due = send(cluster, Narrow(n=1), delay=100)
    await pass_time(cluster, 1_000)
    ask(cluster, "reschedule", due, due=began[0] + HOUR)
    await pass_time(cluster, 1_000)
    worker.engine.executor.pause_queues(set(), set())
    await pass_time(cluster, 60_000)
    assert starts == []
    await pass_time(cluster, HOUR)
    assert starts == [(1, HOUR)]
