"""How a worker ends when it is told to: what ends in time counts, the rest runs elsewhere."""

from __future__ import annotations

import signal
from collections import defaultdict
from pathlib import Path

import pytest
from fault_handlers import Blocking, Hold, Stubborn
from fault_oracle import Topics
from fleet import Fleet, happened
from group import Group
from topics import create_topics

from streams.client import JobClient
from streams.dev.broker import LocalBroker
from streams.dev.ports import free_port
from streams.observe.gauges import IN_HAND

TERM, INT = signal.SIGTERM, signal.SIGINT

SOON = set(range(5))  # they end within the grace period
LATE = set(range(5, 10))  # they do not
WAITING = set(range(10, 15))  # they have no slot, and never start before the end
CLOSING = 10  # seconds that an end may take beside the grace period; it takes a fifth of one


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(TERM, id="SIGTERM"),
        pytest.param(INT, id="SIGINT", marks=pytest.mark.long),
    ],
)
async def test_after_a_signal_jobs_end_in_time_or_are_handed_back(
    kafka: str, prefix: str, tmp_path: Path, number: signal.Signals
) -> None:
    await create_topics(kafka, prefix)
    soon, late = tmp_path / "soon", tmp_path / "late"
    settings = {"STREAMS_GRACE": "2s", "STREAMS_CONCURRENCY": str(len(SOON | LATE))}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given a worker whose slots are taken, and jobs in its hands that wait for one
            first = fleet.start("first", STREAMS_WEB_PORT=str(free_port()))
            await enqueue(client, *(Hold(n=n, latch=str(soon)) for n in SOON))
            await enqueue(client, *(Hold(n=n, latch=str(late)) for n in LATE))
            await fleet.until_each("start", "hold", SOON | LATE)
            await enqueue(client, *(Hold(n=n, latch=str(late)) for n in WAITING))
            await first.until_figure(IN_HAND, len(SOON | LATE | WAITING))
        # when it is told to end, and some of the jobs end
        first.signal(number)
        await first.until_said("stopping: running jobs have 2 s")
        soon.touch()
        await fleet.until_each("end", "hold", SOON)
        # then so does the worker, which has left its group at once
        assert await first.ended(2 + CLOSING) == 0, first.log
        assert await Group(kafka, f"{prefix}workers").members() == 0
        # and what it did not settle runs on the next one
        late.touch()
        second = fleet.start("second")
        await fleet.until_each("end", "hold", LATE | WAITING, in_=second)
        await Topics.until_settled(kafka, prefix, {"hold": SOON | LATE | WAITING}, fleet.logs)
        assert second.stop() == 0, second.log
        seen = by_job(fleet)
    for n in SOON:
        assert seen[n] == ["start in first", "end in first"]
    for n in LATE:
        assert seen[n] == ["start in first", "stop in first", "start in second", "end in second"]
    for n in WAITING:
        assert seen[n] == ["start in second", "end in second"]
    await judge_settled_once(kafka, prefix, "hold", {first.pid: SOON, second.pid: LATE | WAITING})


@pytest.mark.parametrize(
    ("first_number", "second_number", "code"),
    [
        pytest.param(TERM, INT, 130, id="SIGTERM, then SIGINT"),
        pytest.param(INT, TERM, 143, id="SIGINT, then SIGTERM", marks=pytest.mark.long),
    ],
)
async def test_a_second_signal_ends_the_worker_at_once_and_loses_nothing(
    kafka: str,
    prefix: str,
    tmp_path: Path,
    first_number: signal.Signals,
    second_number: signal.Signals,
    code: int,
) -> None:
    await create_topics(kafka, prefix)
    jobs = SOON | LATE
    latch = tmp_path / "latch"
    with Fleet(kafka, prefix, tmp_path) as fleet:  # with the 25 s of grace that are the default
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given a worker that waits for its jobs to end
            first = fleet.start("first")
            await enqueue(client, *(Hold(n=n, latch=str(latch)) for n in jobs))
            await fleet.until_each("start", "hold", jobs)
        first.signal(first_number)
        await first.until_said("stopping: running jobs have 25 s")
        # when it is told again
        first.signal(second_number)
        # then it ends in the middle of them
        assert await first.ended(2) == code, first.log
        # and all of them run on the next one
        latch.touch()
        second = fleet.start("second")
        await fleet.until_each("end", "hold", jobs, in_=second)
        await Topics.until_settled(kafka, prefix, {"hold": jobs}, fleet.logs)
        assert second.stop() == 0, second.log
        seen = by_job(fleet)
    for n in jobs:
        assert seen[n] == ["start in first", "start in second", "end in second"]
    await judge_settled_once(kafka, prefix, "hold", {second.pid: jobs})


async def test_handlers_that_do_not_stop_do_not_hold_the_end(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    jobs = set(range(3))
    latch = tmp_path / "latch"
    with Fleet(kafka, prefix, tmp_path, STREAMS_GRACE="1s") as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given coroutines that swallow their cancellation, and functions that nothing can stop
            first = fleet.start("first")
            await enqueue(client, *(Stubborn(n=n, latch=str(latch)) for n in jobs))
            await enqueue(client, *(Blocking(n=n, latch=str(latch)) for n in jobs))
            await fleet.until_each("start", "stubborn", jobs)
            await fleet.until_each("start", "blocking", jobs)
        # when
        first.signal(INT)
        # then
        assert await first.ended(1 + CLOSING) == 0, first.log
        # and the jobs run on the next one
        second = fleet.start("second")
        await fleet.until_each("start", "stubborn", jobs, in_=second)
        await fleet.until_each("start", "blocking", jobs, in_=second)
        latch.touch()
        latch.with_name(f"{latch.name}-{second.pid}").touch()
        over = {"stubborn": jobs, "blocking": jobs}
        await Topics.until_settled(kafka, prefix, over, fleet.logs)
        assert second.stop() == 0, second.log
    for name in over:
        await judge_settled_once(kafka, prefix, name, {second.pid: jobs})


@pytest.mark.long  # a minute
async def test_a_worker_whose_broker_is_gone_ends_all_the_same(prefix: str, tmp_path: Path) -> None:
    jobs = SOON | LATE
    soon, late = tmp_path / "soon", tmp_path / "late"
    broker = LocalBroker(tmp_path / "broker", heap="256m")
    with broker, Fleet(broker.bootstrap, prefix, tmp_path, STREAMS_GRACE="2s") as fleet:
        await create_topics(broker.bootstrap, prefix)
        # given a worker with jobs, whose broker dies
        first = fleet.start("first")
        async with JobClient(broker.bootstrap, source="test", prefix=prefix) as client:
            await enqueue(client, *(Hold(n=n, latch=str(soon)) for n in SOON))
            await enqueue(client, *(Hold(n=n, latch=str(late)) for n in LATE))
            await fleet.until_each("start", "hold", jobs)
        broker.kill()
        # some of which end, and can't be settled
        soon.touch()
        await fleet.until_each("end", "hold", SOON)
        await first.until_said("Unable connect to node")
        # when it is told to end, then it does so, without being made to
        first.terminate()
        assert await first.ended(2 + CLOSING) == 0, first.log
        # and once the broker is there again, the next worker does all of it
        broker.start()
        late.touch()
        second = fleet.start("second")
        await fleet.until_each("end", "hold", jobs, in_=second)
        await Topics.until_settled(broker.bootstrap, prefix, {"hold": jobs}, fleet.logs)
        assert second.stop() == 0, second.log
        await judge_settled_once(broker.bootstrap, prefix, "hold", {second.pid: jobs})


async def enqueue(client: JobClient, *jobs: Hold | Stubborn | Blocking) -> None:
    """Enqueue them; ids are numbers."""
    await client.enqueue_many(jobs, id=lambda job: str(job.n))  # type: ignore[attr-defined]


def by_job(fleet: Fleet) -> dict[int, list[str]]:
    """What happened to each job, and in which worker, in its order."""
    names = {str(pid): worker.name for worker in fleet.workers.values() for pid in worker.pids}
    found: dict[int, list[str]] = defaultdict(list)
    for what, _, _, number, pid in fleet.lines:
        found[int(number)].append(f"{what} in {names[pid]}")
    return dict(found)


async def judge_settled_once(
    kafka: str,
    prefix: str,
    name: str,
    ended_in: dict[int, set[int]],
) -> None:
    """Each job has one ledger record, by the process it ended in; nothing is open or dead."""
    topics = await Topics.read(kafka, prefix)
    settled = topics.settled(name)
    assert settled.keys() == set().union(*ended_in.values())
    for pid, numbers in ended_in.items():
        for n in numbers:
            (record,) = settled[n]  # one
            assert record.state == "completed"
            assert record.history[-1].worker.endswith(f"-{pid}"), (n, record)
            assert record.attempts == 1, (n, record)  # what was handed back is no attempt
    left = {n for n, entries in topics.opened(name).items() if entries[-1] is not None}
    assert not left, f"over, and still in the open table: {left}"
    assert not topics.dead


async def test_workers_that_end_together_settle_what_ends_in_time(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, 4)
    group = Group(kafka, f"{prefix}workers")
    latch = tmp_path / "latch"
    settings = {"STREAMS_PARTITIONS": "4", "STREAMS_GRACE": "20s"}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            fleet.start("a")
            fleet.start("b")
            await group.until_members(2, fleet.logs)
            # given a job on one of them only
            await client.enqueue(Hold(n=0, latch=str(latch)), id="0")
            found = await fleet.until_each("start", "hold", {0})
        busy = next(w for w in fleet.workers.values() if str(w.pid) == found[-1][-1])
        idle = next(w for w in fleet.workers.values() if w is not busy)
        # when both are told to end, and the rebalance that the idle one causes is over
        before = len(await group.generations())
        busy.terminate()
        idle.terminate()
        assert await idle.ended() == 0, idle.log
        await group.until_members(1, fleet.logs)
        assert len(await group.generations()) > before
        # then the other one is in the group still, and its job counts when it ends
        latch.touch()
        assert await busy.ended(30) == 0, busy.log
        assert "coordinator dead" not in busy.log
    topics = await Topics.read(kafka, prefix, partitions=4)
    (record,) = topics.settled("hold")[0]
    assert record.state.value == "completed"
    assert happened(fleet.lines, "stop", "hold") == set()
