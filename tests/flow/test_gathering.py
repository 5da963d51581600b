"""Jobs that end shortly after a turn are settled together, and nobody waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from steps import send

from streams import JobPayload, job
from streams.testing import Sandbox
from streams.worker.pipeline import Pipeline

GATHER_MS = 10
LEDGER = "jobs.default.ledger"


class Step(JobPayload, name="step", key="account"):
    """A job with a key."""

    account: int
    n: int


class Bench:
    """A worker whose time is moved by hand, and what it has run."""

    def __init__(self) -> None:
        self.started: list[int] = []

        @job
        async def step(payload: Step) -> None:
            self.started.append(payload.n)

        self.box = Sandbox(step, queues=("default",), partitions=1)
        self.box.cluster.gather_ms = GATHER_MS

    @property
    def pipeline(self) -> Pipeline:
        return self.box.cluster.workers[0].engine.queues[("default", 0)]

    @property
    def settled(self) -> int:
        """How many jobs are in the ledger."""
        return sum(not (r.key or b"#").startswith(b"#") for r in self._ledger())

    @property
    def writes(self) -> int:
        """At how many times the ledger was written."""
        return len({r.timestamp for r in self._ledger() if not (r.key or b"#").startswith(b"#")})

    def _ledger(self):  # type: ignore[no-untyped-def]
        return self.box.cluster.log.records(self.box.cluster.names.ledger("default"))

    def send(self, *numbers: int, account: int | None = None) -> None:
        for n in numbers:
            send(self.box.cluster, Step(account=n if account is None else account, n=n))

    async def stand(self) -> None:
        """Let everything happen that happens at this time."""
        for _ in range(50):
            self.box.cluster.clock.set(self.box.cluster.clock.now())
            self.box.cluster.workers[0].pump()
            await asyncio.sleep(0)

    async def wait(self, ms: int) -> None:
        """Let time pass, millisecond by millisecond."""
        for _ in range(ms):
            self.box.cluster.clock.set(self.box.cluster.clock.now() + 1)
            await self.stand()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A worker that has had no turn for a while."""
    bench = Bench()
    async with bench.box:
        await bench.wait(2 * GATHER_MS)
        yield bench


async def test_after_a_pause_a_job_is_settled_at_once(bench: Bench) -> None:
    bench.send(1)
    await bench.stand()
    assert (bench.started, bench.settled) == ([1], 1)


async def test_what_ends_shortly_after_a_turn_is_settled_together_and_starts_at_once(
    bench: Bench,
) -> None:
    bench.send(1)
    await bench.stand()
    for n in (2, 3, 4):
        bench.send(n)
        await bench.stand()
        assert bench.started[-1] == n
        await bench.wait(2)
    assert bench.settled == 1
    await bench.wait(GATHER_MS - 6)
    assert (bench.settled, bench.writes) == (4, 2)
    assert bench.pipeline.quiet


async def test_a_key_goes_on_though_its_last_job_is_not_settled_yet(bench: Bench) -> None:
    bench.send(1, account=7)
    await bench.stand()
    for n in (2, 3, 4):  # each arrives when the one before has ended
        bench.send(n, account=7)
        await bench.stand()
    assert (bench.started, bench.settled) == ([1, 2, 3, 4], 1)
    await bench.wait(GATHER_MS)
    assert bench.settled == 4


async def test_a_drain_does_not_wait_for_more(bench: Bench) -> None:
    bench.send(1)
    await bench.stand()
    bench.send(2)
    await bench.stand()
    draining = asyncio.create_task(bench.pipeline.drain())
    await bench.stand()
    assert draining.done()
    assert bench.settled == 2


async def test_a_copy_of_a_job_that_ended_and_is_not_settled_starts_nothing(bench: Bench) -> None:
    bench.send(1)
    await bench.stand()
    bench.send(2)
    await bench.stand()
    bench.send(2)
    await bench.wait(2 * GATHER_MS)
    assert (bench.started, bench.settled) == ([1, 2], 2)


async def test_a_clock_that_is_set_back_holds_nothing_up(bench: Bench) -> None:
    bench.send(1)
    await bench.stand()
    clock = bench.box.cluster.clock
    bench.pipeline._turned_at = clock.now() + 600_000  # as after a step back of ten minutes
    bench.send(2)
    await bench.stand()
    assert (bench.started, bench.settled) == ([1, 2], 2)


async def test_jobs_that_arrive_again_and_again_do_not_put_off_the_look_at_long_runs() -> None:
    never = asyncio.Event()

    @job
    async def step(payload: Step) -> None:
        await never.wait()

    async with Sandbox(step, queues=("default",), partitions=1) as box:
        began = box.cluster.clock.now()
        for n in range(24):
            box.cluster.clock.set(began + 500 * n)
            send(box.cluster, Step(account=n, n=n))
            for _ in range(20):
                box.cluster.workers[0].pump()
                await asyncio.sleep(0)
        assert box.jobs(state="running")
