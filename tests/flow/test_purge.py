"""Many jobs cancelled at once: by an operator for a queue or a name, by an event for a key."""

from __future__ import annotations

import asyncio

import pytest
from steps import crash, kill_all, restart, send

from streams import Event, Fixed, JobPayload, Retry, job
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.testing.worker import MemoryWorker
from streams.wire.commands import Command, encode_command
from streams.worker import purge
from streams.worker.control import pause_record
from streams.worker.ports import Append


class Work(JobPayload, name="purged_work", key="k"):
    k: str
    n: int


class Other(JobPayload, name="purged_other"):
    n: int


class Slow(JobPayload, name="purged_slow", key="k"):
    k: str


class Gone(Event, type="account.gone", key="account"):
    account: str


ran: list[object] = []
gates: list[asyncio.Event] = []


@job(retry=Retry(attempts=2, backoff=Fixed("1h")), cancel_on=Gone, timeout="1d")
async def purged_work(payload: Work) -> None:
    ran.append((payload.k, payload.n))
    if payload.k == "fails":
        raise ValueError("as the test says")
    if payload.k == "fails at last":
        await gates[0].wait()
        raise ValueError("as the test says")
    if payload.k == "runs":
        await gates[0].wait()


@job(cancel_on=Gone)
async def purged_slow(payload: Slow) -> None:
    ran.append(payload.k)
    try:
        await asyncio.Event().wait()
    finally:
        ran.append("interrupted")
        await asyncio.Event().wait()  # it has much to clean up


@job
async def purged_other(payload: Other) -> None:
    ran.append(payload.n)


async def command(box: Sandbox, name: str = "") -> None:
    """What `streams queues purge` sends."""
    log, names = box.cluster.log, box.cluster.names
    for partition in range(log.partitions):
        all_of_them = JobKey(name=name, ordering_key=None, id="")
        until = await log.end(names.queue("default"), partition)
        told = Command(kind="purge", job=all_of_them, reason="no longer needed", until=until)
        key, value = encode_command(told)
        log.write(Append(names.commands("default"), partition, key, value))


async def pause(box: Sandbox, name: str, since: int | None) -> None:
    key, value = pause_record("default", since, "an outage", job=name)
    box.cluster.log.write(Append(box.cluster.names.control, 0, key, value))
    for worker in box.cluster.workers:
        await worker.engine.look_at_control()
    await box.cluster.settle()


async def begun(box: Sandbox) -> None:
    """Workers have read the command, and have just begun."""
    pipelines = [p for worker in box.cluster.workers for p in worker.engine.queues.values()]
    await until(box, lambda: any(p._commands.purges for p in pipelines))


async def until(box: Sandbox, done: object) -> None:
    for _ in range(2_000):
        if done():  # type: ignore[operator]
            return
        box.cluster.clock.set(box.cluster.clock.now())
        for worker in box.cluster.workers:
            worker.pump()
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_what_waits_is_cancelled_and_what_runs_or_comes_later_is_not(
    is_restarted: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(purge, "AT_ONCE", 2)
    ran.clear()
    gates[:] = [asyncio.Event()]
    async with Sandbox(purged_work, purged_other) as box:
        await box.enqueue(Work(k="fails", n=0))  # retrying
        for n in range(7):
            await box.enqueue(Work(k=f"later{n}", n=n), delay="1h")
        tasks = [asyncio.create_task(box.enqueue(Work(k="runs", n=n))) for n in range(4)]
        await until(box, lambda: ("runs", 0) in ran)
        box.cluster.clock.set(box.cluster.clock.now() + 11_000)  # it is taken over, others parked
        await until(box, lambda: len(box._open()) == 12)
        if is_restarted:  # before the command is obeyed
            await kill_all(box)
            await command(box)
            await crash(box)
        else:
            await command(box)
        late = asyncio.create_task(box.enqueue(Work(k="late", n=1)))
        await until(box, lambda: len(box.jobs(state=State.CANCELLED)) == 11)
        gates[0].set()
        await asyncio.gather(*tasks, late)
        await box.advance("3h")
        cancelled = box.jobs(state=State.CANCELLED)
        assert {each.reason for each in cancelled} == {"no longer needed"}
        done = {(each.job.ordering_key, each.state) for each in box.jobs()}
        assert ("purged_work:runs", State.COMPLETED) in done
        assert ("purged_work:late", State.COMPLETED) in done
        assert len(box.jobs(state=State.COMPLETED)) == 2
        assert [each for each in ran if each == ("fails", 0)] == [("fails", 0)]


async def test_a_purge_of_one_name_leaves_the_others():
    ran.clear()
    async with Sandbox(purged_work, purged_other) as box:
        await box.enqueue(Work(k="a", n=1), delay="1h")
        await box.enqueue(Other(n=2), delay="1h")
        await command(box, "purged_other")
        await box.cluster.settle()
        await box.advance("2h")
        assert ran == [("a", 1)]
        assert len(box.jobs(state=State.CANCELLED)) == 1


async def test_an_event_cancels_the_jobs_of_its_key_that_were_sent_before_it():
    ran.clear()
    gates[:] = [asyncio.Event()]
    async with Sandbox(purged_work, purged_other) as box:
        running = asyncio.create_task(box.enqueue(Work(k="runs", n=1)))
        await until(box, lambda: ("runs", 1) in ran)
        await box.cluster.log.append([])
        waiting = [
            asyncio.create_task(box.enqueue(Work(k=k, n=2), delay="1h")) for k in ("runs", "b")
        ]
        await until(box, lambda: len(box._open()) == 2)
        box.cluster.clock.set(box.cluster.clock.now() + 10)
        event = asyncio.create_task(box.emit(Gone(account="runs")))
        await until(box, lambda: len(box.jobs(state=State.CANCELLED)) == 2)
        await asyncio.gather(running, event, *waiting)
        box.cluster.clock.set(box.cluster.clock.now() + 10)
        gates[0].set()
        await box.enqueue(Work(k="runs", n=3))  # it came after the event
        await box.advance("2h")
        assert ran == [("runs", 1), ("runs", 3), ("b", 2)]
        (reason,) = {each.reason for each in box.jobs(state=State.CANCELLED)}
        assert reason.startswith("cancelled by account.gone ")


async def test_what_comes_due_before_the_sweep_has_come_to_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(purge, "AT_ONCE", 1)
    ran.clear()
    async with Sandbox(purged_work, purged_other, partitions=1) as box:
        for n in range(6):
            await box.enqueue(Other(n=n), delay="1h")
            await box.enqueue(Work(k=f"k{n}", n=n), delay="1h")
        # when they come due just after the command came
        await command(box)
        await begun(box)
        box.cluster.clock.set(box.cluster.clock.now() + 3_600_000)
        await box.cluster.settle()
        assert ran == []
        assert len(box.jobs(state=State.CANCELLED)) == 12


async def test_a_key_that_becomes_free_before_the_sweep_has_come_to_it_starts_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(purge, "AT_ONCE", 1)
    ran.clear()
    gates[:] = [asyncio.Event()]
    async with Sandbox(purged_work) as box:
        tasks = [asyncio.create_task(box.enqueue(Work(k="runs", n=n))) for n in range(10)]
        await until(box, lambda: ("runs", 0) in ran)
        box.cluster.clock.set(box.cluster.clock.now() + 11_000)  # it is taken over, others parked
        await until(box, lambda: len(box._open()) == 10)
        await command(box)
        gates[0].set()
        await asyncio.gather(*tasks)
        assert ran == [("runs", 0)]
        assert len(box.jobs(state=State.CANCELLED)) == 9


async def test_what_a_limit_lets_in_before_the_sweep_has_come_to_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(purge, "AT_ONCE", 1)
    ran.clear()
    async with Sandbox(purged_other, partitions=1) as box:
        await pause(box, "purged_other", 1)
        for n in range(6):
            await box.enqueue(Other(n=n))
        assert len(box._open()) == 6
        await command(box)
        await begun(box)
        await pause(box, "purged_other", None)
        assert ran == []
        assert len(box.jobs(state=State.CANCELLED)) == 6


async def test_a_worker_that_dies_while_a_job_unwinds_loses_no_event_that_cancels_it():
    ran.clear()
    async with Sandbox(purged_slow) as box:
        tasks = [asyncio.create_task(box.enqueue(Slow(k="a")))]
        await until(box, lambda: ran == ["a"])
        tasks.append(asyncio.create_task(box.emit(Gone(account="a"), id="e")))
        await until(box, lambda: ran == ["a", "interrupted"])
        for _ in range(50):  # what it does about the command is written
            await asyncio.sleep(0)
        assert not any(p._commands.purges for p in box.cluster.workers[0].engine.queues.values())
        await restart(box)
        await asyncio.gather(*tasks)
        (cancelled,) = box.jobs(state=State.CANCELLED)
        assert cancelled.reason == "cancelled by account.gone e"


@pytest.mark.parametrize("waits_in_hand", [False, True])
async def test_what_has_run_and_is_to_run_again_is_no_job_that_waits(
    waits_in_hand: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(purge, "AT_ONCE", 1)
    ran.clear()
    gates[:] = [asyncio.Event()]
    async with Sandbox(purged_work) as box:
        tasks = [asyncio.create_task(box.enqueue(Work(k="runs", n=n))) for n in range(3)]
        await until(box, lambda: ran == [("runs", 0)])
        box.cluster.clock.set(box.cluster.clock.now() + 11_000)
        await until(box, lambda: len(box._open()) == 3)
        # given a worker that dies with one that runs, and two behind it
        worker = box._worker
        assert worker is not None
        await box.cluster.kill(worker)
        await asyncio.gather(*tasks)
        gates[0].set()
        if waits_in_hand:
            await pause(box, "", 1)
        else:
            await command(box)
        worker = box._worker = await box.cluster.start_worker()
        if waits_in_hand:  # for its slot
            await until(box, lambda: any(p.hand for p in worker.engine.queues.values()))
            await command(box)
            await until(box, lambda: box.jobs(state=State.CANCELLED))
            await pause(box, "", None)
        await box.cluster.settle()
        assert ran == [("runs", 0), ("runs", 0)]
        assert len(box.jobs(state=State.CANCELLED)) == 2


async def test_what_is_parked_as_the_command_is_read_waits_as_well():
    ran.clear()
    gates[:] = [asyncio.Event()]
    box = Sandbox(purged_work, partitions=1)
    box.cluster.gather_ms = 20
    async with box:
        # given two behind one in hand, which are parked when it is to be retried
        tasks = [asyncio.create_task(box.enqueue(Work(k="fails at last", n=n))) for n in range(3)]
        await until(box, lambda: ran == [("fails at last", 0)])
        # when that and the command come in the same turn
        gates[0].set()
        (pipeline,) = (p for p in box.cluster.workers[0].engine.queues.values() if p.hand)
        await until(box, lambda: pipeline._outcomes)
        await command(box)
        await until(box, lambda: len(box.jobs(state=State.CANCELLED)) == 3)
        await asyncio.gather(*tasks)
        assert ran == [("fails at last", 0)]


async def test_what_is_replayed_after_the_command_is_not_meant(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(purge, "AT_ONCE", 1)
    ran.clear()
    async with Sandbox(purged_work, purged_other, partitions=1) as box:
        dead = await box.enqueue(Work(k="fails", n=0))
        await box.advance("1h")
        assert [each.job for each in box.jobs(state=State.DEAD)] == [dead.job]
        for n in range(6):
            await box.enqueue(Other(n=n), delay="1h")
        await command(box)
        await begun(box)
        await box.replay(dead)
        assert len(box.jobs(state=State.CANCELLED)) == 6
        assert ran == [("fails", 0)] * 3


async def test_a_worker_that_opens_a_partition_knows_the_purge_before_it_has_read_its_commands(
    monkeypatch: pytest.MonkeyPatch,
):
    ran.clear()
    read, may_read = MemoryWorker._read_commands, asyncio.Event()

    async def read_late(worker: MemoryWorker) -> None:
        await may_read.wait()
        await read(worker)

    async with Sandbox(purged_work, purged_other, partitions=1) as box:
        dead = await box.enqueue(Work(k="fails", n=0))
        await box.advance("1h")
        for n in range(6):
            await box.enqueue(Other(n=n), delay="1h")
        worker = box._worker
        assert worker is not None
        await box.cluster.kill(worker)
        # given a letter that is replayed, all of it purged, and what is due meanwhile
        replayed = Command(kind="replay", job=dead.job)
        key, value = encode_command(replayed)
        box.cluster.log.write(Append(box.cluster.names.commands("default"), 0, key, value))
        await command(box)
        box.cluster.clock.set(box.cluster.clock.now() + 3_600_000)
        # when a worker begins that reads its commands late
        monkeypatch.setattr(MemoryWorker, "_read_commands", read_late)
        box._worker = await box.cluster.start_worker()
        await until(box, lambda: len(box.jobs(state=State.CANCELLED)) == 6)
        (pipeline,) = (
            p for (queue, _), p in box._worker.engine.queues.items() if queue == "default"
        )
        assert pipeline.tables.applied(pipeline.place.commands) == 0
        may_read.set()
        await box.cluster.settle()
        # then nothing of it starts, and the command is obeyed once, behind those before it
        assert ran == [("fails", 0)] * 2
        assert len(box.jobs(state=State.CANCELLED)) == 7
        await box.enqueue(Other(n=9))
        assert ran == [("fails", 0)] * 2 + [9]
        assert pipeline.tables.applied(pipeline.place.commands) == 2
        assert not pipeline._commands.purges


async def test_a_client_purges_a_queue_or_one_name_of_it():
    ran.clear()
    async with Sandbox(purged_work, purged_other) as box:
        for n in range(4):
            await box.enqueue(Other(n=n), delay="1h")
            await box.enqueue(Work(k=f"k{n}", n=n), delay="1h")
        await box.purge("default", "purged_other", reason="not needed")
        cancelled = box.jobs(state=State.CANCELLED)
        assert [(each.job.name, each.reason) for each in cancelled] == [
            ("purged_other", "not needed")
        ] * 4
        with pytest.raises(ValueError, match="the name is empty"):
            await box.purge("default", "")
        await box.purge("default")
        await box.enqueue(Other(n=9), delay="1h")
        await box.advance("2h")
        assert len(box.jobs(state=State.CANCELLED)) == 8
        assert ran == [9]


@pytest.mark.parametrize("was_read", [False, True])
async def test_what_may_have_run_when_its_worker_died_but_was_not_seen_to_run_waits(
    was_read: bool,
):
    ran.clear()
    async with Sandbox(purged_work, purged_other, partitions=1) as box:
        await box.enqueue(Other(n=0))
        # given a worker that died, and jobs that were sent after that to a queue that is paused
        await kill_all(box)
        for n in range(1, 6):
            send(box.cluster, Other(n=n))
        send(box.cluster, Work(k="a", n=6))
        send(box.cluster, Work(k="a", n=7))
        await pause(box, "", 1)
        if was_read:  # and their starts are on record before the command comes
            await crash(box)
            await until(box, lambda: len(box._open()) == 7)
        await command(box)
        if not was_read:
            await crash(box)
        # then nobody takes them for jobs that run
        await until(box, lambda: len(box.jobs(state=State.CANCELLED)) == 7)
        await pause(box, "", None)
        assert ran == [0]
