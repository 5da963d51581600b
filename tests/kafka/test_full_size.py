"""What holds for a few thousand jobs holds for millions: `make test-long` has the full sizes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from bulk import append_all, entries, job, opened_log, place_of
from fault_handlers import Hold
from fleet import Fleet, Worker, happened
from full_size_handlers import Filler, Flow, Late, Tried
from group import Group
from marks import Mark, Marks
from topics import create_topics

from streams.jobs.states import State
from streams.kafka.log import KafkaLog
from streams.wire.topics import TopicNames

HANDLERS = "fault_handlers,full_size_handlers"
HOUR_MS = 3_600_000
RSS_MAX_MB = 800  # of a worker with two partitions, whatever waits


def fleet_of(kafka: str, prefix: str, folder: Path, **settings: str) -> Fleet:
    """Workers that say little, and whose bulk of jobs is told in the marks file."""
    return Fleet(
        kafka,
        prefix,
        folder,
        handlers=HANDLERS,
        STREAMS_LOG_LEVEL="error",  # a line for each job would be the larger part of its cost
        MARKS=str(folder / "marks"),
        **settings,
    )


class Memory:
    """How much memory a worker was seen to use."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.peak_mb = 0.0
        self.looks = 0

    def look(self) -> float:
        """Its resident memory now."""
        assert self.worker.runs, self.worker.log
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        now_mb = int(line.split()[1]) / 1024
        self.peak_mb = max(self.peak_mb, now_mb)
        self.looks += 1
        return now_mb


@asynccontextmanager
async def watched(worker: Worker) -> AsyncIterator[Memory]:
    """Looks at a worker's memory all the time; the worker must outlive this."""
    memory = Memory(worker)

    async def watch() -> None:
        while True:
            memory.look()
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:  # which ends the test if the worker does
        task = group.create_task(watch())
        yield memory
        memory.look()
        task.cancel()


async def until_committed(group: Group, place: TopicPartition, offset: int, fleet: Fleet) -> None:
    """Return once the group's commit is this one: nobody tells us, it has to be asked for."""
    limit = time.monotonic() + 60
    while (found := (await group.committed()).get(place)) != offset:
        assert time.monotonic() < limit, f"committed {found}, not {offset}\n{fleet.logs()}"
        await asyncio.sleep(0.1)


# -- a long run that others pass -------------------------------------------------------------


@pytest.mark.parametrize(
    "behind", [pytest.param(20_000), pytest.param(1_000_000, marks=pytest.mark.long)]
)
async def test_a_latch_that_many_pass_costs_no_redelivery_and_moves_with_its_job(
    kafka: str, prefix: str, tmp_path: Path, behind: int
) -> None:
    names = TopicNames(prefix)
    await create_topics(kafka, prefix)
    latch = tmp_path / "latch"
    place = place_of("hold", 0, 2)
    group = Group(kafka, f"{prefix}workers")
    starts: Counter[int] = Counter()
    marks = Marks(tmp_path / "marks", lambda mark: starts.update([mark.n]))
    began = time.monotonic()
    async with opened_log(kafka) as log:
        # given a job that is held, and many behind it
        await log.append([job(names, Hold(n=0, latch=str(latch)), "0")])
        filled = await append_all(
            log, (job(names, Filler(n=n), f"f{n}", place) for n in range(behind))
        )
        with fleet_of(kafka, prefix, tmp_path) as fleet:
            first = fleet.start("first")
            async with watched(first) as memory:
                await marks.until(lambda: len(starts) == behind, fleet.logs, 1200)
                passed = time.monotonic() - began
                # then the commit has passed it while it runs
                queue = TopicPartition(names.queue("default"), place)
                await until_committed(group, queue, behind + 1, fleet)
                assert happened(fleet.lines, "start", "hold") == {0}
                assert not happened(fleet.lines, "end", "hold")
                # when another worker joins
                second = fleet.start("second")
                await group.until_members(2, fleet.logs)
                more = range(behind, behind + 100)
                await log.append([job(names, Filler(n=n), f"f{n}", n % 2) for n in more])
                await marks.until(lambda: len(starts) == behind + 100, fleet.logs)
            # and the one that runs it is killed
            await fleet.until(lambda found: _held_by(found) is not None)
            holder = _held_by(fleet.lines)
            dying = first if holder == first.pid else second
            other = second if dying is first else first
            dying.kill()
            # then it runs in the other one, and nothing else runs again
            await fleet.until_each("start", "hold", {0}, in_=other)
            last = range(behind + 100, behind + 200)
            await log.append([job(names, Filler(n=n), f"f{n}", n % 2) for n in last])
            await marks.until(lambda: len(starts) == behind + 200, fleet.logs)
            latch.touch()
            await fleet.until_each("end", "hold", {0}, in_=other)
            assert other.stop() == 0, other.log
            marks.read()
    assert set(starts.values()) == {1}
    assert starts.total() == behind + 200
    print(
        f"\nfilled in {filled:.1f} s, passed by {passed:.1f} s, over at"
        f" {time.monotonic() - began:.1f} s; peak {memory.peak_mb:.0f} MB"
    )


def _held_by(found: list[list[str]]) -> int | None:
    """The process in which the job that is held runs, by what was told last."""
    what, _, _, _, pid = found[-1]
    return int(pid) if what == "start" else None


# -- an outage in which every key blocks -----------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "each", "wait_s", "patience_s"),
    [
        pytest.param(10_000, 2, 10, 100),
        pytest.param(1_000_000, 1, 600, 1800, marks=pytest.mark.long),
    ],
)
async def test_an_outage_that_blocks_every_key_is_passed_in_bounded_memory_and_in_order(
    kafka: str, prefix: str, tmp_path: Path, keys: int, each: int, wait_s: int, patience_s: float
) -> None:
    names = TopicNames(prefix)
    await create_topics(kafka, prefix)
    outage = tmp_path / "outage"
    outage.touch()
    failed: set[int] = set()
    over = [0] * keys  # the number of the job of each key that is to run next
    early: list[Mark] = []

    def take(mark: Mark) -> None:
        is_early = mark.n != over[mark.key]
        if mark.job == "fail":
            failed.add(mark.key)
        else:
            over[mark.key] += 1
            is_early |= outage.exists()
        if is_early:
            early.append(mark)

    marks = Marks(tmp_path / "marks", take)
    async with opened_log(kafka) as log:
        await append_all(
            log,
            (
                job(names, Late(account=key, n=n, outage=str(outage), wait_s=wait_s), f"{key}-{n}")
                for n in range(each)
                for key in range(keys)
            ),
        )
        with fleet_of(kafka, prefix, tmp_path) as fleet:
            worker = fleet.start("only")
            began = time.monotonic()
            async with watched(worker) as memory:
                # given that the first job of every key has failed, and none has not
                await marks.until(lambda: len(failed) == keys, fleet.logs, patience_s)
                blocked_s, blocked_mb = time.monotonic() - began, memory.look()
                assert not any(over)
                # when the outage is over, then all of them come to their end
                outage.unlink()
                await marks.until(lambda: all(n == each for n in over), fleet.logs, patience_s)
            assert worker.stop() == 0, worker.log
    marks.read()
    assert not early
    assert sum(over) == keys * each  # each of them came to its end once
    assert memory.peak_mb < RSS_MAX_MB
    print(
        f"\nall blocked after {blocked_s:.1f} s, {blocked_mb:.0f} MB; over"
        f" {time.monotonic() - began:.1f} s after the start; peak {memory.peak_mb:.0f} MB"
    )


# -- a retry among others --------------------------------------------------------------------


class Retries:
    """When each attempt of the jobs that ask for 5 s began, and what else started when."""

    def __init__(self, path: Path) -> None:
        self.at: dict[int, list[float]] = defaultdict(list)
        self.others: list[float] = []
        self.marks = Marks(path, self._take)

    def _take(self, mark: Mark) -> None:
        if mark.job == "trie":
            self.at[mark.n].append(mark.at)
            assert len(self.at[mark.n]) == mark.attempt
        else:
            self.others.append(mark.at)

    def all_had(self, attempts: int, jobs: int) -> bool:
        """Whether all have begun so many attempts."""
        return len(self.at) == jobs and all(len(at) >= attempts for at in self.at.values())

    @property
    def late(self) -> list[float]:
        """By how much each attempt but the first began after its 5 s."""
        return sorted(
            after - before - 5 for at in self.at.values() for before, after in pairwise(at)
        )


RETRIED = 20
PACE_S = 0.05  # between two jobs of a steady flow


@pytest.mark.parametrize(
    ("waiting", "attempts"),
    [pytest.param(20_000, 2), pytest.param(1_000_000, 7, marks=pytest.mark.long)],
)
async def test_a_retry_starts_in_time_with_many_jobs_waiting(
    kafka: str, prefix: str, tmp_path: Path, waiting: int, attempts: int
) -> None:
    names = TopicNames(prefix)
    await create_topics(kafka, prefix, 1)
    retries = Retries(tmp_path / "marks")
    async with opened_log(kafka) as log:
        # given jobs that fail once, and far more behind them than run in 5 s
        await log.append(
            [job(names, Tried(n=n, attempts=attempts), f"t{n}") for n in range(RETRIED)]
        )
        await append_all(
            log, (job(names, Filler(n=n, seconds=0.05), f"f{n}", 0) for n in range(waiting))
        )
        with fleet_of(kafka, prefix, tmp_path, STREAMS_PARTITIONS="1", STREAMS_GRACE="1s") as fleet:
            worker = fleet.start("only")
            async with watched(worker) as memory:
                await retries.marks.until(lambda: retries.all_had(attempts, RETRIED), fleet.logs)
            last = max(at[-1] for at in retries.at.values())
            started = sum(at < last for at in retries.others)
            assert worker.stop() == 0, worker.log
    # then each began its next attempt within a second of its time, while others waited
    assert 0 < started < waiting
    assert len(retries.late) == RETRIED * (attempts - 1)
    assert retries.late[0] >= 0
    assert retries.late[-1] < 1
    print(
        f"\nlate by at most {retries.late[-1] * 1000:.0f} ms, {waiting - started} waited to the"
        f" end; peak {memory.peak_mb:.0f} MB"
    )


@pytest.mark.parametrize(
    "bound", [pytest.param(20_000), pytest.param(2_000_000, marks=pytest.mark.long)]
)
async def test_a_retry_starts_in_time_with_the_open_table_full(
    kafka: str, prefix: str, tmp_path: Path, bound: int
) -> None:
    names = TopicNames(prefix)
    await create_topics(kafka, prefix, 1)
    retries = Retries(tmp_path / "marks")
    later = int(time.time() * 1000) + 10 * HOUR_MS
    async with opened_log(kafka) as log:
        # given an open table with room for the jobs that fail, and no more
        await append_all(log, entries(names, 0, bound - RETRIED, State.RETRYING, due=later))
        with fleet_of(kafka, prefix, tmp_path, STREAMS_PARTITIONS="1", BOUND=str(bound)) as fleet:
            worker = fleet.start("only")
            async with watched(worker) as memory:
                await log.append([job(names, Tried(n=n), f"t{n}") for n in range(RETRIED)])
                await retries.marks.until(lambda: retries.all_had(1, RETRIED), fleet.logs, 900)
                # and others that arrive all the time
                sent = 0
                while not retries.all_had(2, RETRIED):
                    await log.append([job(names, Filler(n=sent), f"f{sent}", 0)])
                    sent += 1
                    await asyncio.sleep(PACE_S)
                    retries.marks.read()
                await retries.marks.until(lambda: len(retries.others) == sent, fleet.logs)
            assert worker.stop() == 0, worker.log
    # then each began its next attempt within a second of its time
    assert len(retries.late) == RETRIED
    assert retries.late[0] >= 0
    assert retries.late[-1] < 1
    # and the others waited for room (a fetch that was on its way when the last one failed came in)
    full = max(at[0] for at in retries.at.values()) + 1
    room = min(at[1] for at in retries.at.values())
    assert not [at for at in retries.others if full < at < room]
    assert sum(at > room for at in retries.others) > (room - full) / PACE_S / 2
    print(f"\nlate by at most {retries.late[-1] * 1000:.0f} ms; peak {memory.peak_mb:.0f} MB")


# -- a large open table that moves -----------------------------------------------------------


class Flowing:
    """A steady flow of jobs to some partitions, and when and where each of them began."""

    def __init__(self, log: KafkaLog, names: TopicNames, path: Path) -> None:
        self.starts: dict[int, list[float]] = defaultdict(list)
        self.last_pid: dict[int, int] = {}
        self.marks = Marks(path, self._take)
        self._log = log
        self._names = names
        self._n = 0

    def _take(self, mark: Mark) -> None:
        self.starts[mark.key].append(mark.at)
        self.last_pid[mark.key] = mark.pid

    async def send(self, *partitions: int) -> None:
        """One job to each of them."""
        self._n += 1
        await self._log.append(
            [
                job(self._names, Flow(partition=p, n=self._n), f"{p}-{self._n}", p)
                for p in partitions
            ]
        )

    @asynccontextmanager
    async def steadily(self, *partitions: int) -> AsyncIterator[None]:
        """One job to each of them every 50 ms."""

        async def send() -> None:
            while True:
                await self.send(*partitions)
                await asyncio.sleep(PACE_S)

        task = asyncio.create_task(send())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def pause(self, partition: int, start: float, end: float) -> float:
        """The longest time without a start on a partition, between these times."""
        at = sorted(at for at in self.starts[partition] if start - 1 < at < end + 1)
        assert at and at[0] < start and at[-1] > end
        return max(after - before for before, after in pairwise(at))


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(20_000),
        pytest.param(1_000_000, marks=pytest.mark.long),
        pytest.param(10_000_000, marks=pytest.mark.long),
    ],
)
async def test_a_large_open_table_that_moves_holds_no_other_partition_up(
    kafka: str, prefix: str, tmp_path: Path, count: int
) -> None:
    names = TopicNames(prefix)
    await create_topics(kafka, prefix, 3)
    group = Group(kafka, f"{prefix}workers")
    later = int(time.time() * 1000) + 10 * HOUR_MS
    async with opened_log(kafka) as log:
        flow = Flowing(log, names, tmp_path / "marks")
        with fleet_of(
            kafka, prefix, tmp_path, STREAMS_PARTITIONS="3", STREAMS_STANDBYS="false"
        ) as fleet:
            # given one worker with two partitions, and one with the third
            stays = fleet.start("stays")
            await group.until_members(1, fleet.logs)
            (kept,) = await group.member_ids()
            # Its session is long: once killed, it keeps its partition until the group is told.
            goes = fleet.start("goes", STREAMS_SESSION_TIMEOUT="29m")
            await group.until_members(2, fleet.logs)
            (gone,) = set(await group.member_ids()) - {kept}
            await flow.send(0, 1, 2)
            await flow.marks.until(lambda: len(flow.starts) == 3, fleet.logs)
            (moving,) = (p for p, pid in flow.last_pid.items() if pid == goes.pid)
            others = {0, 1, 2} - {moving}
            # when this one dies with many entries in its open table
            goes.kill()
            filled = await append_all(
                log, entries(names, moving, count, State.SCHEDULED, due=later)
            )
            await flow.send(moving)
            async with watched(stays) as memory, flow.steadily(*others):
                before = {p: len(flow.starts[p]) for p in others}
                await flow.marks.until(
                    lambda: all(len(flow.starts[p]) >= before[p] + 50 for p in others), fleet.logs
                )
                start = time.time()
                await group.remove(gone)
                await flow.marks.until(lambda: flow.last_pid[moving] == stays.pid, fleet.logs, 3000)
                end = flow.starts[moving][-1]
                await flow.marks.until(
                    lambda: all(flow.starts[p][-1] > end + 0.5 for p in others), fleet.logs
                )
            assert {flow.last_pid[p] for p in others} == {stays.pid}
            assert stays.stop() == 0, stays.log
    pauses = {p: flow.pause(p, start, end) for p in others}
    print(
        f"\nfilled in {filled:.1f} s, moved in {end - start:.1f} s, pauses of"
        f" {[f'{pause * 1000:.0f} ms' for pause in pauses.values()]}; peak {memory.peak_mb:.0f} MB"
    )
    assert max(pauses.values()) < 2
