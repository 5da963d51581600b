"""Queues that are paused: nothing of them starts, and nothing is lost."""

from __future__ import annotations

import asyncio

from steps import crash

from streams import JobPayload, job
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.worker.control import pause_record
from streams.worker.ports import Append


class Bulk(JobPayload, name="bulk_job", key="n", queue="bulk"):
    n: int


class Urgent(JobPayload, name="urgent", key="n", queue="critical"):
    n: int


ran: list[int] = []


@job
async def bulk_job(payload: Bulk) -> None:
    ran.append(payload.n)


@job
async def urgent(payload: Urgent) -> None:
    ran.append(payload.n)


async def tell(box: Sandbox, since: int | None) -> None:
    key, value = pause_record("bulk", since, "a migration")
    box.cluster.log.write(Append(box.cluster.names.control, 0, key, value))
    for worker in box.cluster.workers:
        await worker.engine.look_at_control()
    await box.cluster.settle()


async def enqueue_bulk(box: Sandbox, *numbers: int, delay: str | None = None) -> None:
    """What waits for a slot is not settled, so that the sandbox would wait for it."""
    tasks = [asyncio.create_task(box.enqueue(Bulk(n=n), delay=delay)) for n in numbers]
    for _ in range(100):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_nothing_of_a_paused_queue_starts_until_it_is_resumed():
    ran.clear()
    async with Sandbox(bulk_job, urgent) as box:
        await tell(box, 1)
        await enqueue_bulk(box, 1, 2, 1)
        assert ran == []
        await asyncio.wait_for(_run_urgent(box), 10)
        assert ran == [9]
        await tell(box, None)
        assert sorted(ran[1:]) == [1, 1, 2]
        assert len(box.jobs(state=State.COMPLETED)) == 4


async def _run_urgent(box: Sandbox) -> None:
    task = asyncio.create_task(box.enqueue(Urgent(n=9)))
    while 9 not in ran:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_worker_that_starts_later_knows_of_the_pause():
    ran.clear()
    async with Sandbox(bulk_job, urgent) as box:
        await tell(box, 1)
        await enqueue_bulk(box, 1, 2)
        await crash(box)
        for _ in range(200):
            box.cluster.clock.set(box.cluster.clock.now() + 100)
            await asyncio.sleep(0)
        assert ran == []
        await tell(box, None)
        assert sorted(ran) == [1, 2]


async def test_nonsense_in_the_control_topic_pauses_nothing():
    ran.clear()
    async with Sandbox(bulk_job, urgent) as box:
        key, _ = pause_record("bulk", 1)
        box.cluster.log.write(Append(box.cluster.names.control, 0, key, b"{"))
        for worker in box.cluster.workers:
            await worker.engine.look_at_control()
        await box.enqueue(Bulk(n=1))
        assert ran == [1]
