"""Many jobs cancelled at once: by an operator for a queue or a name, by an event for a key."""

from __future__ import annotations

import asyncio

import pytest

from streams import Event, Fixed, JobPayload, Retry, job
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.wire.state import Command, encode_command
from streams.worker import purge
from streams.worker.ports import Append


class Work(JobPayload, name="purged_work", key="k"):
    k: str
    n: int


class Other(JobPayload, name="purged_other"):
    n: int


class Gone(Event, type="account.gone", key="account"):
    account: str


ran: list[object] = []
gates: list[asyncio.Event] = []


@job(retry=Retry(attempts=2, backoff=Fixed("1h")), cancel_on=Gone, timeout="1d")
async def purged_work(payload: Work) -> None:
    ran.append((payload.k, payload.n))
    if payload.k == "fails":
        raise ValueError("as the test says")
    if payload.k == "runs":
        await gates[0].wait()


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
            worker = box._worker
            assert worker is not None
            await box.cluster.kill(worker)
            await command(box)
            box._worker = await box.cluster.start_worker()
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
