"""Workers that come and go while long jobs run: what stays goes on, what moves runs elsewhere."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from effects import Lines, until
from latch_handlers import Hold
from topics import create_topics, states_of
from worker_process import WorkerProcess

from streams.client import JobClient
from streams.wire.topics import TopicNames

PARTITIONS = 4
JOBS = 50


def happened(found: Lines) -> dict[int, list[str]]:
    """What happened to each job, and on which worker; in no order, as two tell of it."""
    by_job: dict[int, list[str]] = defaultdict(list)
    for what, n, worker in found:
        by_job[int(n)].append(f"{what} on {worker}")
    return {n: sorted(all_of_it) for n, all_of_it in by_job.items()}


async def test_what_stays_is_not_interrupted_and_what_moves_runs_elsewhere(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, PARTITIONS)
    effects = tmp_path / "effects"
    first, second = (
        WorkerProcess(
            kafka,
            prefix,
            "latch_handlers",
            tmp_path / name,
            STREAMS_PARTITIONS=str(PARTITIONS),
            STREAMS_QUEUES="default",
            STREAMS_GRACE="200ms",  # what has not ended by then is handed back
            EFFECTS=str(effects),
            WORKER=name,
        )
        for name in ("first", "second")
    )
    partition: dict[int, int] = {}  # of each job

    async def enqueue(client: JobClient, start: int, latch: Path) -> range:
        numbers = range(start, start + JOBS)
        for n in numbers:
            partition[n] = (await client.enqueue(Hold(n=n, latch=str(latch)))).partition
        return numbers

    async def until_all(of: range, what: str) -> Lines:
        def enough(found: Lines) -> bool:
            return {int(n) for event, n, _ in found if event == what} >= set(of)

        return await until(effects, enough, lambda: first.log + second.log)

    async def until_moved(of: range, source: str, to: str) -> set[int]:
        """Half of the partitions: all of their jobs were stopped on the one and run on the other.

        That is as much as moves, of four partitions between two workers.
        """

        def moved(found: Lines) -> set[int]:
            stopped = {int(n) for what, n, worker in found if (what, worker) == ("stop", source)}
            started = {int(n) for what, n, worker in found if (what, worker) == ("start", to)}
            those = {partition[n] for n in stopped if n in of}
            everything = {n for n in of if partition[n] in those}
            return those if everything <= stopped and everything <= started else set()

        found = await until(
            effects,
            lambda found: len(moved(found)) == PARTITIONS // 2,
            lambda: first.log + second.log,
        )
        return moved(found)

    async with JobClient(kafka, source="test", prefix=prefix) as client:
        with first:
            # given 50 jobs that run on one worker
            latch = tmp_path / "latch 1"
            jobs = await enqueue(client, 0, latch)
            await until_all(jobs, "start")
            with second:
                # when another one joins
                moved = await until_moved(jobs, "first", "second")
                latch.touch()
                seen = happened(await until_all(jobs, "end"))
                # then what it takes over runs there, and the rest was not disturbed
                for n in jobs:
                    assert seen[n] == (
                        ["end on second", "start on first", "start on second", "stop on first"]
                        if partition[n] in moved
                        else ["end on first", "start on first"]
                    )

                # given 50 jobs that run on both
                latch = tmp_path / "latch 2"
                jobs = await enqueue(client, JOBS, latch)
                seen = happened(await until_all(jobs, "start"))
                for n in jobs:
                    there = "second" if partition[n] in moved else "first"
                    assert seen[n] == [f"start on {there}"]
                # when the second leaves
                second.terminate()
                assert await until_moved(jobs, "second", "first") == moved
                latch.touch()
                seen = happened(await until_all(jobs, "end"))
                # then what it handed back runs on the first, and the rest was not disturbed
                for n in jobs:
                    assert seen[n] == (
                        ["end on first", "start on first", "start on second", "stop on second"]
                        if partition[n] in moved
                        else ["end on first", "start on first"]
                    )
                assert await second.ended() == 0, second.log
            assert first.stop() == 0, first.log
    # and every job is settled once
    ledger = await states_of(kafka, TopicNames(prefix).ledger("default"), PARTITIONS)
    assert {state for _, state, *_ in ledger} == {"completed"}
    assert len({key for key, *_ in ledger}) == sum(ledger.values()) == 2 * JOBS
