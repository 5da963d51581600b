"""Tenants have their turns: one with a long backlog holds up nobody else."""

from __future__ import annotations

import asyncio
import random

import pytest
from steps import crash, send

from streams import JobPayload, RateLimit, job
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox


class Mail(JobPayload, name="fair_mail"):
    tenant_id: int
    n: int


class InOrder(JobPayload, name="fair_in_order", key="account"):
    tenant_id: str
    account: int
    n: int


class Few(JobPayload, name="fair_few"):
    tenant_id: int
    n: int


class Limited(JobPayload, name="fair_limited"):
    tenant_id: int
    n: int


ran: list[tuple[object, int]] = []
gates: list[asyncio.Semaphore] = []


@job(fair_by="tenant_id", timeout="1d")
async def fair_mail(payload: Mail) -> None:
    ran.append((payload.tenant_id, payload.n))
    await gates[0].acquire()


@job(fair_by="tenant_id", concurrency=2, timeout="1d")
async def fair_few(payload: Few) -> None:
    ran.append((payload.tenant_id, payload.n))
    await gates[0].acquire()


@job(fair_by="tenant_id", rate_limit=RateLimit(2, per="1m"))
async def fair_limited(payload: Limited) -> None:
    ran.append((payload.tenant_id, payload.n))


@job(fair_by="tenant_id")
async def fair_in_order(payload: InOrder) -> None:
    ran.append((payload.account, payload.n))
    await asyncio.sleep(0)


async def until(box: Sandbox, count: int) -> None:
    """Let so many more run, one after the other."""
    wanted = len(ran) + count
    while len(ran) < wanted:
        if gates[0].locked():
            gates[0].release()
        for worker in box.cluster.workers:
            worker.pump()
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.mark.parametrize("payload", [Mail, Few])
async def test_ten_jobs_of_one_tenant_are_done_while_another_has_thousands(
    payload: type[Mail] | type[Few],
):
    ran.clear()
    gates[:] = [asyncio.Semaphore(0)]
    async with Sandbox(fair_mail, fair_few) as box:
        for n in range(3_000):
            send(box.cluster, payload(tenant_id=1, n=n), f"1-{n}")
        running = 100 if payload is Mail else 2
        await until(box, running + 20)
        for n in range(10):
            send(box.cluster, payload(tenant_id=2, n=n), f"2-{n}")
        await until(box, 200)
        others = [n for tenant, n in ran if tenant == 2]
        assert sorted(others) == list(range(10))
        # From the first one on the two have turns, once what is before them has been read.
        places = [at for at, (tenant, _) in enumerate(ran) if tenant == 2]
        first, last = places[0], places[-1]
        assert last - first <= 20
        assert last < running + 20 + 150
        waiting = [
            entry
            for pipeline in box.cluster.workers[0].engine.queues.values()
            for entry in pipeline.tables.entries()
        ]
        assert len(waiting) > 2_000  # and the rest is not in memory


async def test_tenants_have_turns_at_a_rate():
    ran.clear()
    async with Sandbox(fair_limited) as box:
        for n in range(20):
            await box.enqueue(Limited(tenant_id=1, n=n))
        for n in range(3):
            await box.enqueue(Limited(tenant_id=2, n=n))
        await box.advance("6m")
        assert [n for tenant, n in ran if tenant == 2] == [0, 1, 2]


@pytest.mark.parametrize("seed", range(10))
async def test_nothing_is_lost_and_keys_keep_their_order_whoever_has_how_many(seed: int):
    rng = random.Random(seed)
    ran.clear()
    async with Sandbox(fair_in_order) as box:
        tasks = []
        for n in range(400):
            tenant = "a" if rng.random() < 0.8 else rng.choice("bcdef")
            account = rng.randrange(6)
            payload = InOrder(tenant_id=f"{tenant}{account}", account=account, n=n)
            tasks.append(asyncio.create_task(box.enqueue(payload)))
            if rng.random() < 0.01:
                await crash(box)
        await asyncio.gather(*tasks)
        assert len(box.jobs(state=State.COMPLETED)) == 400
        for account in range(6):
            first = dict.fromkeys(n for of, n in ran if of == account)
            assert list(first) == sorted(first)
        limits = [worker.engine.executor._limits for worker in box.cluster.workers]
        assert all(not each._limits for each in limits)
