"""The jobs of a key run in order, one at a time, whatever happens to those before them."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from steps import ask, crash, pass_time, pipeline, rest, send

from streams import Fixed, JobContext, JobPayload, PermanentError, Retry, RetryAfter, Snooze, job
from streams.errors import AppendFailed
from streams.testing.cluster import MemoryCluster
from streams.testing.sandbox import Sandbox
from streams.wire.commands import Command
from streams.wire.state import decode_ledger
from streams.worker.ports import Append

CONCURRENCY = 100  # of the sandbox's worker


class Step(JobPayload, name="step", key="account"):
    account: int
    n: int
    fails: int = 0


class Loose(JobPayload, name="loose"):
    n: int


class Charge(JobPayload, name="charge", key="account", key_scope="account"):
    account: int
    n: int


class Refund(JobPayload, name="refund", key="account", key_scope="account"):
    account: int
    n: int


def sandbox(*handlers: Any) -> Sandbox:
    return Sandbox(*handlers, queues=("default",), partitions=1)


def states(box: Sandbox) -> dict[str, int]:
    return dict(Counter(str(each.state) for each in box.jobs()))


async def turns(cluster: MemoryCluster, condition: Callable[[], bool]) -> None:
    """Let the workers go on, while jobs run that do not end."""
    async with asyncio.timeout(10):
        while not condition():
            for worker in cluster.workers:
                worker.pump()
            await asyncio.sleep(0)


class Watch:
    """Runs as told, and sees that of each key one job runs at a time."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.ended: list[int] = []
        self.held: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._running: set[object] = set()

    async def run(self, key: object, n: int, *, until: bool = False) -> None:
        assert key not in self._running, f"{n} runs beside another job of {key}"
        self._running.add(key)
        self.started.append(n)
        try:
            if until:
                await self.held[n].wait()
            else:
                await asyncio.sleep(0)
            self.ended.append(n)
        finally:
            self._running.remove(key)


# -- crashes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("disk", ["the same", "another"])
@pytest.mark.parametrize("crash_after", [1, 4, 9, 16, 25])
async def test_order_holds_through_retries_and_crashes(crash_after: int, disk: str):
    watch = Watch()

    @job(retry=Retry(attempts=9, backoff=Fixed("1s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        await watch.run(payload.account, payload.n)
        if ctx.attempt <= payload.fails:
            raise ValueError("not yet")

    # given keys of which some jobs fail, once or twice
    box = sandbox(step)
    cluster = box.cluster
    worker = await cluster.start_worker("w0")
    jobs = [Step(account=n % 4, n=n, fails=(0, 2, 0, 1, 0)[n % 5]) for n in range(24)]
    for payload in jobs:
        send(box.cluster, payload)
    # when its workers crash again and again, each after it has started a few
    for life in range(1, 4):
        enough = len(watch.started) + crash_after
        while len(watch.started) < enough and states(box) != {"completed": len(jobs)}:
            await rest_until(cluster, lambda enough=enough: len(watch.started) >= enough)
            cluster.clock.set(cluster.clock.next_alarm() or cluster.clock.now())
        await cluster.kill(worker)
        watch._running.clear()
        worker = await cluster.start_worker("w0" if disk == "the same" else f"w{life}")
    await cluster.advance_to(cluster.clock.now() + 60_000)
    await cluster.kill(worker)
    # then all are over, and of each key in the order of their arrival
    over: defaultdict[str | None, list[int]] = defaultdict(list)
    for record in cluster.log.records("jobs.default.ledger"):
        if record.key.startswith(b"#"):
            continue
        ended = decode_ledger(record.key or b"", record.value or b"").job
        over[ended.ordering_key].append(int(ended.id.removeprefix("id-")))
    assert sum(map(len, over.values())) == len(jobs)
    assert all(numbers == sorted(numbers) for numbers in over.values())


async def rest_until(cluster: MemoryCluster, condition: Callable[[], bool]) -> None:
    """Go on at this time, to the moment at which the condition holds or nothing moves."""
    for _ in range(50):
        if condition():
            return
        for worker in cluster.workers:
            worker.pump()
        await asyncio.sleep(0)


# -- dead, cancelled, replayed -----------------------------------------------------------------


@pytest.mark.parametrize("on_dead", ["release", "halt"])
async def test_behind_a_dead_job_a_key_goes_on_or_halts(on_dead: Any):
    watch, broken = Watch(), {2, 3}

    @job(on_dead=on_dead)
    async def step(payload: Step) -> None:
        await watch.run(payload.account, payload.n)
        if payload.n in broken:
            raise PermanentError("for good")

    async with sandbox(step) as box:
        keys = [send(box.cluster, Step(account=1, n=n)) for n in range(1, 6)]
        send(box.cluster, Step(account=2, n=6))
        await box.advance("1h")
        if on_dead == "release":
            assert watch.started == [1, 6, 2, 3, 4, 5]
            assert states(box) == {"completed": 4, "dead": 2}
            return
        assert watch.started == [1, 6, 2]
        assert states(box) == {"completed": 2, "dead": 1, "parked": 3}
        # each replay goes as far as the next job that is dead
        broken.discard(2)
        await box.replay(keys[1])
        assert watch.started == [1, 6, 2, 2, 3]
        ask(box.cluster, "discard", keys[2])
        await box.cluster.settle()
        assert watch.started == [1, 6, 2, 2, 3, 4, 5]
        assert states(box) == {"completed": 5, "discarded": 1}


async def test_a_replayed_job_waits_for_the_one_that_runs_and_goes_before_those_that_wait():
    watch, broken = Watch(), True

    @job
    async def step(payload: Step) -> None:
        await watch.run(payload.account, payload.n, until=payload.n == 2)
        if payload.n == 1 and broken:
            raise PermanentError("down")

    async with sandbox(step) as box:
        # given a dead job, one that runs, and two behind it
        dead = send(box.cluster, Step(account=1, n=1))
        for n in (2, 3, 4):
            send(box.cluster, Step(account=1, n=n))
        await turns(box.cluster, lambda: watch.started == [1, 2] and bool(box.jobs(state="dead")))
        broken = False
        ask(box.cluster, "replay", dead)
        await rest(box.cluster)
        assert watch.started == [1, 2]
        watch.held[2].set()
        await box.cluster.settle()
        assert watch.started == [1, 2, 1, 3, 4]
        assert states(box) == {"completed": 4}


async def test_a_job_that_ends_its_workers_halts_its_key_too():
    watch = Watch()

    @job(on_dead="halt", retry=Retry(attempts=1))
    async def step(payload: Step) -> None:
        await watch.run(payload.account, payload.n, until=payload.n == 1)

    box = sandbox(step)
    cluster = box.cluster
    for n in (1, 2):
        send(box.cluster, Step(account=1, n=n))
    # when workers end while it runs, until it is given up
    for life in range(1, 10):
        worker = await cluster.start_worker(f"w{life}")
        lives = len(watch.started)
        await turns(
            cluster, lambda lives=lives: len(watch.started) > lives or bool(box.jobs(state="dead"))
        )
        if box.jobs(state="dead"):
            break
        await cluster.kill(worker)
        watch._running.clear()
    await cluster.advance_to(cluster.clock.now() + 20_000)
    (dead,) = box.jobs(state="dead")
    assert dead.failure.type == "WorkerDied"
    assert set(watch.started) == {1}
    # then its letter decides
    ask(box.cluster, "discard", dead.job)
    await cluster.settle()
    assert watch.started[-1] == 2
    await cluster.kill(worker)


async def test_jobs_of_one_key_do_not_wait_for_a_write_each(monkeypatch: pytest.MonkeyPatch):
    watch = Watch()
    count = 200

    @job
    async def step(payload: Step, ctx: JobContext) -> None:
        await watch.run(payload.account, payload.n)
        if payload.fails and ctx.attempt == 1:
            raise ValueError("not yet")

    async with sandbox(step) as box:
        # given that a write takes as long as many short jobs
        log = box.cluster.log
        append = log.append
        writes = 0

        async def slowly(records: Sequence[Append]) -> Sequence[int]:
            nonlocal writes
            writes += 1
            for _ in range(50):
                await asyncio.sleep(0)
            return await append(records)

        monkeypatch.setattr(log, "append", slowly)
        # when many jobs of one key come, of which one fails
        for n in range(count):
            send(box.cluster, Step(account=1, n=n, fails=int(n == 100)))
        await box.advance("1m")
        # then they have run in order, the rest behind the one that failed
        expected = [*range(101), *range(100, count)]
        assert watch.started == watch.ended == expected
        assert [job.state for job in box.jobs()] == ["completed"] * count
        # with far fewer writes than jobs
        assert writes < count / 3


async def test_a_key_stops_while_its_ends_cannot_be_written(monkeypatch: pytest.MonkeyPatch):
    watch = Watch()

    @job
    async def step(payload: Step) -> None:
        await watch.run(payload.account, payload.n)

    async with sandbox(step) as box:
        append = box.cluster.log.append
        refuses = True

        async def refuse(records: Sequence[Append]) -> Sequence[int]:
            await asyncio.sleep(0)
            if refuses:
                raise AppendFailed("too few replicas")
            return await append(records)

        monkeypatch.setattr(box.cluster.log, "append", refuse)
        for n in range(100):
            send(box.cluster, Step(account=1, n=n))
        for _ in range(2_000):
            box.cluster.workers[0].pump()
            await asyncio.sleep(0)
        # a few of them have run, by the time that the first write was refused
        assert 0 < len(watch.started) < 10
        refuses = False
        box.cluster.clock.set(box.cluster.clock.now() + 5_000)  # the next try
        await box.cluster.settle()
        assert watch.started == watch.ended == list(range(100))


async def test_a_key_whose_waiting_job_is_cancelled_during_a_rebalance_goes_on():
    watch = Watch()

    @job
    async def step(payload: Step) -> None:
        await watch.run(payload.account, payload.n, until=payload.n == 1)

    async with sandbox(step) as box:
        # given one that runs, and one that waits behind it in hand
        keys = [send(box.cluster, Step(account=1, n=n)) for n in (1, 2)]
        await turns(box.cluster, lambda: watch.started == [1] and len(pipeline(box).hand) == 2)
        # when the first ends and the second is cancelled while the partition is drained
        one = pipeline(box)
        one.hand.paused = True  # the first thing that a drain does
        watch.held[1].set()
        await turns(box.cluster, lambda: watch.ended == [1])
        one.command([(Command(kind="cancel", job=keys[1]), 0)], 2)
        await one.drain()
        # and the partition comes back
        one.resume()
        send(box.cluster, Step(account=1, n=3))
        await box.cluster.settle()
        assert watch.started == [1, 3]


@pytest.mark.parametrize("state", ["running", "retrying", "sleeping", "long", "parked"])
async def test_once_the_blocker_is_cancelled_its_key_goes_on_at_once(state: str):
    watch = Watch()

    @job(timeout="1h")
    async def step(payload: Step) -> None:
        first = payload.n == 1
        await watch.run(payload.account, payload.n, until=first and state in ("running", "long"))
        if first and state in ("retrying", "parked"):
            raise RetryAfter("1h")
        if first:
            raise Snooze("1h", blocks_key=True)

    async with sandbox(step) as box:
        keys = [send(box.cluster, Step(account=1, n=n)) for n in (1, 2, 3)]
        await turns(box.cluster, lambda: watch.started == [1])
        await pass_time(box.cluster, 11_000 if state == "long" else 100)
        assert watch.started == [1]
        # when the second is cancelled, the first still blocks
        if state == "parked":
            ask(box.cluster, "cancel", keys[1])
            await rest(box.cluster)
            assert watch.started == [1]
        ask(box.cluster, "cancel", keys[0])
        await box.cluster.settle()
        assert watch.started == ([1, 3] if state == "parked" else [1, 2, 3])
        await box.advance("2h")
        assert watch.started.count(1) == 1


# -- sleeping and delayed ----------------------------------------------------------------------


async def test_a_snooze_that_blocks_keeps_its_place_and_one_that_does_not_gives_it_up():
    watch = Watch()

    @job
    async def step(payload: Step, ctx: JobContext) -> None:
        await watch.run(payload.account, payload.n)
        if payload.n in (1, 11) and watch.started.count(payload.n) == 1:
            raise Snooze("10s", blocks_key=payload.account == 1)

    async with sandbox(step) as box:
        for n in (1, 2, 3):
            send(box.cluster, Step(account=1, n=n))
            send(box.cluster, Step(account=2, n=n + 10))
        await box.cluster.settle()
        assert watch.started == [1, 11, 12, 13]
        await box.advance("9s")
        send(box.cluster, Step(account=1, n=4))
        await box.advance("1s")
        assert [n for n in watch.started if n < 10] == [1, 1, 2, 3, 4]
        assert [n for n in watch.started if n > 10] == [11, 12, 13, 11]


async def test_a_delayed_job_that_comes_due_while_its_key_is_busy_takes_its_turn():
    watch = Watch()

    @job
    async def step(payload: Step) -> None:
        await watch.run(payload.account, payload.n, until=payload.n in (1, 4))

    async with sandbox(step) as box:
        # given one that runs, two that are delayed, and one behind the first
        send(box.cluster, Step(account=1, n=1))
        send(box.cluster, Step(account=1, n=2), delay=5_000)
        send(box.cluster, Step(account=1, n=3), delay=4_000)
        send(box.cluster, Step(account=1, n=4))
        await turns(box.cluster, lambda: watch.started == [1])
        # when they come due meanwhile, the later one first
        await pass_time(box.cluster, 5_000)
        assert watch.started == [1]
        assert states(box)["parked"] == 3
        # then they go in the order of their arrival
        watch.held[1].set()
        await turns(box.cluster, lambda: watch.started == [1, 2, 3, 4])
        # and what comes due behind one that has started waits for it
        send(box.cluster, Step(account=1, n=5), delay=1_000)
        await pass_time(box.cluster, 1_000)
        assert watch.started == [1, 2, 3, 4]
        watch.held[4].set()
        await box.cluster.settle()
        assert watch.started == [1, 2, 3, 4, 5]
        assert states(box) == {"completed": 5}


async def test_a_delayed_job_holds_nobody_up_before_it_is_due():
    watch = Watch()

    @job
    async def step(payload: Step) -> None:
        await watch.run(payload.account, payload.n)

    async with sandbox(step) as box:
        send(box.cluster, Step(account=1, n=1), delay=5_000)
        send(box.cluster, Step(account=1, n=2))
        await box.advance("4999ms")
        assert watch.started == [2]
        await box.advance("1ms")
        assert watch.started == [2, 1]


async def test_delayed_jobs_of_a_blocked_key_park_and_none_of_them_is_early():
    watch = Watch()

    @job(retry=Retry(attempts=2, backoff=Fixed("10s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        await watch.run(payload.account, payload.n)
        if ctx.attempt <= payload.fails:
            raise ValueError("not yet")

    async with sandbox(step) as box:
        send(box.cluster, Step(account=1, n=1), delay=5_000)
        send(box.cluster, Step(account=1, n=2, fails=1))
        await box.advance("9999ms")
        assert watch.started == [2]
        await box.advance("1ms")
        # the one that has started goes on before the one that arrived earlier
        assert watch.started == [2, 2, 1]


# -- unordered, and shared scopes --------------------------------------------------------------


async def test_without_order_the_jobs_of_a_key_run_side_by_side_and_wait_for_nobody():
    started: list[int] = []
    held = asyncio.Event()

    @job(ordering="none", retry=Retry(attempts=2, backoff=Fixed("10s")))
    async def step(payload: Step, ctx: JobContext) -> None:
        started.append(payload.n)
        if ctx.attempt <= payload.fails:
            raise ValueError("not yet")
        await held.wait()

    async with sandbox(step) as box:
        for n in range(4):
            send(box.cluster, Step(account=1, n=n, fails=n == 0))
        await turns(box.cluster, lambda: started == [0, 1, 2, 3])
        await pass_time(box.cluster, 10_000)
        assert started == [0, 1, 2, 3, 0]
        held.set()
        await box.cluster.settle()
        assert states(box) == {"completed": 4}


async def test_two_definitions_with_one_scope_share_the_order_of_a_key():
    watch = Watch()

    @job(retry=Retry(attempts=2, backoff=Fixed("10s")))
    async def charge(payload: Charge, ctx: JobContext) -> None:
        await watch.run(payload.account, payload.n)
        if payload.n == 1 and ctx.attempt == 1:
            raise ValueError("not yet")

    @job
    async def refund(payload: Refund) -> None:
        await watch.run(payload.account, payload.n)

    async with sandbox(charge, refund) as box:
        send(box.cluster, Charge(account=1, n=1))
        send(box.cluster, Refund(account=1, n=2))
        send(box.cluster, Charge(account=1, n=3))
        send(box.cluster, Refund(account=2, n=4))
        await box.cluster.settle()
        assert watch.started == [1, 4]
        await box.advance("10s")
        assert watch.started == [1, 4, 1, 2, 3]


async def test_definitions_with_scopes_of_their_own_do_not_wait_for_each_other():
    watch = Watch()

    class Other(JobPayload, name="other", key="account"):
        account: int
        n: int

    @job
    async def step(payload: Step) -> None:
        await watch.run(("step", payload.account), payload.n)
        raise RetryAfter("1h")

    @job
    async def other(payload: Other) -> None:
        await watch.run(("other", payload.account), payload.n)

    async with sandbox(step, other) as box:
        send(box.cluster, Step(account=1, n=1))
        send(box.cluster, Other(account=1, n=2))
        await box.cluster.settle()
        assert watch.started == [1, 2]


# -- many --------------------------------------------------------------------------------------


async def test_an_outage_in_which_every_key_blocks_leaves_nothing_in_memory():
    keys, down = 2_000, True
    ran: defaultdict[int, list[int]] = defaultdict(list)

    @job(retry=Retry(attempts=99, backoff=Fixed("10m")))
    async def step(payload: Step) -> None:
        if down:
            raise ConnectionError("the database is away")
        ran[payload.account].append(payload.n)

    async with sandbox(step) as box:
        for n in range(2 * keys):
            send(box.cluster, Step(account=n % keys, n=n))
        await box.cluster.settle()
        # then all of it is on disk: a job for each key that is retried, and one behind it
        hand = pipeline(box).hand
        openings = pipeline(box)._openings
        assert states(box) == {"retrying": keys, "parked": keys}
        assert (len(hand), len(hand._lanes), hand.opened, hand.bytes) == (0, 0, 0, 0)
        assert (openings._touched, openings._early, openings._waiting_suspects) == ({}, [], {})
        assert not pipeline(box)._take_overs._held
        # also when a worker finds them so
        await crash(box, "w2")
        await box.cluster.settle()
        hand = pipeline(box).hand
        assert (len(hand), len(hand._lanes), hand.opened, hand.bytes) == (0, 0, 0, 0)
        # when it is over, then each key runs in order
        down = False
        await box.advance("10m")
        assert states(box) == {"completed": 2 * keys}
        assert dict(ran) == {n: [n, n + keys] for n in range(keys)}


async def test_a_retry_starts_at_its_very_time_among_thousands_that_wait():
    starts: list[tuple[int, int]] = []  # n, and when

    @job(retry=Retry(attempts=2, backoff=Fixed("1h")))
    async def step(payload: Step, ctx: JobContext) -> None:
        if payload.n:
            starts.append((payload.n, ctx.started))
        if ctx.attempt <= payload.fails:
            raise RetryAfter("1234ms") if payload.n else ValueError("for a long time")

    async with sandbox(step) as box:
        start = box.cluster.clock.now()
        # given some that are due around it, thousands that are due later, or behind keys that block
        for n in range(200):
            send(box.cluster, Step(account=10 + n, n=10 + n), delay=1_134 + n)
        for n in range(2_000):
            send(box.cluster, Loose(n=n), delay=60_000 + n)
        for n in range(500):
            send(box.cluster, Step(account=10_000 + n, n=0, fails=1))
            send(box.cluster, Step(account=10_000 + n, n=10_000 + n))
        send(box.cluster, Step(account=1, n=1, fails=1))
        await box.advance("1233ms")
        assert [when - start for n, when in starts if n == 1] == [0]
        await box.advance("1ms")
        assert [when - start for n, when in starts if n == 1] == [0, 1_234]
        await box.advance("10s")
        # then each of them started at its own
        assert [(n, when - start) for n, when in starts if 10 <= n < 10_000] == [
            (10 + n, 1_134 + n) for n in range(200)
        ]


async def test_what_came_due_and_what_arrived_take_turns_for_the_slots():
    started: list[str] = []
    held: list[asyncio.Event] = []

    @job(timeout="1h")
    async def loose(payload: Loose, ctx: JobContext) -> None:
        started.append("busy" if payload.n < 0 else "due" if payload.n < 1_000 else "arrived")
        held.append(asyncio.Event())
        await held[-1].wait()

    async with sandbox(loose) as box:
        cluster = box.cluster
        # given no free slot, a long queue, and a backlog that is overdue
        for n in range(300):
            send(box.cluster, Loose(n=n), delay=1_000)
        for n in range(CONCURRENCY):
            send(box.cluster, Loose(n=-1 - n))
        await turns(cluster, lambda: len(started) == CONCURRENCY)
        for n in range(300):
            send(box.cluster, Loose(n=1_000 + n))
        await pass_time(cluster, 1_000)
        assert started == ["busy"] * CONCURRENCY
        assert len(pipeline(box).hand) == CONCURRENCY + 600
        # when slots become free, one after the other, then neither starves the other
        for freed in range(200):
            held[freed].set()
            await turns(cluster, lambda freed=freed: len(started) == CONCURRENCY + freed + 1)
        assert Counter(started[CONCURRENCY:]) == {"due": 100, "arrived": 100}
        assert all(a != b for a, b in pairwise(started[CONCURRENCY:]))
