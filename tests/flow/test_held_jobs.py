"""Jobs that a limit holds for long: they hold neither slot nor offset, and keep their order."""

from __future__ import annotations

import asyncio
import random

import pytest
from steps import restart

from streams import JobPayload, job
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.worker import limit
from streams.worker.control import pause_record
from streams.worker.ports import Append


class Paused(JobPayload, name="paused_job"):
    n: int


class InOrder(JobPayload, name="in_order", key="k"):
    k: str
    n: int


class Slow(JobPayload, name="slow_limited"):
    n: int


class Other(JobPayload, name="other"):
    n: int


ran: list[str] = []
gate = asyncio.Event()


@job
async def paused_job(payload: Paused) -> None:
    ran.append(f"paused {payload.n}")


@job
async def in_order(payload: InOrder) -> None:
    ran.append(f"{payload.k}{payload.n}")


@job(concurrency=1)
async def slow_limited(payload: Slow) -> None:
    ran.append(f"slow {payload.n}")
    await gate.wait()


@job
async def other(payload: Other) -> None:
    ran.append(f"other {payload.n}")


async def pause(box: Sandbox, name: str, since: int | None) -> None:
    key, value = pause_record("default", since, "an outage", job=name)
    box.cluster.log.write(Append(box.cluster.names.control, 0, key, value))
    for worker in box.cluster.workers:
        await worker.engine.look_at_control()
    await box.cluster.settle()


def held(box: Sandbox) -> list[str]:
    return sorted(
        entry.reason
        for worker in box.cluster.workers
        for pipeline in worker.engine.queues.values()
        for entry in pipeline.tables.entries()
        if entry.held is not None
    )


async def test_a_paused_definition_holds_neither_slots_nor_offsets_and_others_run():
    ran.clear()
    async with Sandbox(paused_job, other) as box:
        await pause(box, "paused_job", 1)
        for n in range(20):
            await box.enqueue(Paused(n=n))
        await box.enqueue(Other(n=1))
        assert ran == ["other 1"]
        assert held(box) == ["paused_job is paused"] * 20
        assert all(
            pipeline.watermark.held == 0
            for worker in box.cluster.workers
            for pipeline in worker.engine.queues.values()
        )
        await pause(box, "paused_job", None)
        assert sorted(ran) == sorted(["other 1", *(f"paused {n}" for n in range(20))])
        assert held(box) == []
        assert len(box.jobs(state=State.COMPLETED)) == 21


async def test_a_pause_holds_through_restarts_and_a_key_keeps_its_order():
    ran.clear()
    async with Sandbox(in_order) as box:
        await pause(box, "in_order", 1)
        for n in range(5):
            await box.enqueue(InOrder(k="a", n=n))
            await box.enqueue(InOrder(k="b", n=n))
        await restart(box)
        for n in range(5, 8):
            await box.enqueue(InOrder(k="a", n=n))
        await restart(box)
        assert ran == []
        await pause(box, "in_order", None)
        assert [each for each in ran if each[0] == "a"] == [f"a{n}" for n in range(8)]
        assert [each for each in ran if each[0] == "b"] == [f"b{n}" for n in range(5)]


async def test_a_held_job_can_be_cancelled_and_the_next_of_its_key_takes_its_place():
    ran.clear()
    async with Sandbox(in_order) as box:
        await pause(box, "in_order", 1)
        first = await box.enqueue(InOrder(k="a", n=1))
        await box.enqueue(InOrder(k="a", n=2))
        await box.cancel(first)
        await box.cluster.settle()
        await pause(box, "in_order", None)
        assert ran == ["a2"]


async def test_what_was_held_runs_if_its_limit_is_gone_with_the_next_version():
    ran.clear()
    gate.clear()
    async with Sandbox(paused_job) as box:
        await pause(box, "paused_job", 1)
        for n in range(3):
            await box.enqueue(Paused(n=n))
        key, _ = pause_record("default", None, job="paused_job")
        box.cluster.log.write(Append(box.cluster.names.control, 0, key, None))
        await restart(box)
        assert sorted(ran) == [f"paused {n}" for n in range(3)]


async def test_a_long_backlog_behind_a_limit_is_in_the_table_and_does_not_stop_its_queue(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(limit, "NEAR_MIN", 3)
    monkeypatch.setattr(limit, "NEAR_NEW", 0)
    ran.clear()
    gate.clear()
    async with Sandbox(slow_limited, other) as box:
        tasks = [asyncio.create_task(box.enqueue(Slow(n=n))) for n in range(50)]
        tasks.append(asyncio.create_task(box.enqueue(Other(n=1))))
        while "other 1" not in ran or len(held(box)) < 38:
            await asyncio.sleep(0)
        assert held(box)[0] == (
            "1 of slow_limited run in this worker, as many as its concurrency allows"
        )
        # What waits near is taken over after ten seconds, so that no offset is held by a limit.
        box.cluster.clock.set(box.cluster.clock.now() + 12_000)
        while len(held(box)) < 49:
            await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        assert sorted(ran) == sorted(["other 1", *(f"slow {n}" for n in range(50))])
        assert len(box.jobs(state=State.COMPLETED)) == 51
        assert held(box) == []


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_lost_or_run_twice_whenever_a_worker_dies(
    seed: int, monkeypatch: pytest.MonkeyPatch
):
    rng = random.Random(seed)
    monkeypatch.setattr(limit, "NEAR_MIN", rng.choice([1, 2, 5]))
    monkeypatch.setattr(limit, "NEAR_MS", 0)
    monkeypatch.setattr(limit, "NEAR_NEW", 0)
    ran.clear()
    gate.set()
    async with Sandbox(slow_limited, in_order, other) as box:
        tasks = []
        count = 60
        for n in range(count):
            kind = rng.choice([Slow, Other, InOrder])
            payload = InOrder(k=rng.choice("ab"), n=n) if kind is InOrder else kind(n=n)
            tasks.append(asyncio.create_task(box.enqueue(payload)))
            if rng.random() < 0.1:
                await pause(box, "in_order", rng.choice([1, None]))
            for _ in range(rng.randrange(30)):
                await asyncio.sleep(0)
            if rng.random() < 0.1:
                await restart(box)
        await pause(box, "in_order", None)
        await asyncio.gather(*tasks)
        assert len(box.jobs(state=State.COMPLETED)) == count
        for key in "ab":
            seen = list(dict.fromkeys(each for each in ran if each[0] == key))
            assert seen == sorted(seen, key=lambda each: int(each[1:]))
        assert held(box) == []
