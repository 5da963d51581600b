"""How many run at a time, and who goes first, on real Kafka with two workers."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from pathlib import Path

from effects import Lines
from fleet_of_two import fleet_to_start, start_two, two_workers
from limit_handlers import Bulk, Few, Limited, Scarce, Urgent


def most_at_a_time(found: Lines, kind: str, place: int) -> dict[str, int]:
    """How many of these ran side by side at most, by the word at `place` of their lines."""
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for line in found:
        if line[1] == kind:
            running[line[place]] += 1 if line[0] == "start" else -1
            most[line[place]] = max(most[line[place]], running[line[place]])
    return dict(most)


def side_by_side(found: Lines, worker: str, since: int) -> list[int]:
    """How many ran in a worker after each line, from one on."""
    changes = [(1 if line[0] == "start" else -1) * (line[3] == worker) for line in found]
    return list(accumulate(changes))[since:]


async def test_keys_and_definitions_run_no_more_at_a_time_than_they_may(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with two_workers(kafka, prefix, tmp_path, "limit_handlers") as (fleet, client):
        # when many jobs of a few keys come, and of a definition that is limited in each worker
        handles = await client.enqueue_many(
            Limited(tenant=tenant, n=n) for n in range(30) for tenant in range(4)
        )
        handles += await client.enqueue_many(Few(n=n) for n in range(120))
        await fleet.until(lambda lines: sum(line[0] == "end" for line in lines) >= len(handles))
        # then each key has two at a time, and the definition three in each worker
        by_tenant = most_at_a_time(fleet.lines, "limited", 2)
        assert by_tenant == {str(tenant): 2 for tenant in range(4)}
        by_worker = most_at_a_time(fleet.lines, "few", 3)
        assert by_worker == {"a": 3, "b": 3}


async def test_the_cluster_runs_no_more_at_a_time_than_it_may_also_when_a_worker_is_killed(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with two_workers(kafka, prefix, tmp_path, "limit_handlers") as (fleet, client):
        # given two workers that share three slots
        await client.enqueue_many(Scarce(n=n) for n in range(6_000))
        await fleet.until(
            lambda lines: (
                min(sum(line[3] == worker for line in lines) for worker in ("a", "b")) > 200
            )
        )
        # when one of them is killed
        fleet.workers["a"].kill()
        before = len(fleet.lines)
        # then the other one has what it had at once, and all of it after a while
        await fleet.until(lambda lines: 3 in side_by_side(lines, "b", before))
        assert max(side_by_side(fleet.lines, "b", before)) == 3
        both = [[*line[:3], "both"] for line in fleet.lines[:before]]
        assert most_at_a_time(both, "scarce", 3) == {"both": 3}


async def test_urgent_work_is_not_held_up_by_a_backlog(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with fleet_to_start(
        kafka, prefix, tmp_path, "limit_handlers", STREAMS_CONCURRENCY="2"
    ) as (fleet, client):
        # given a backlog of bulk jobs behind two slots of each worker
        backlog = await client.enqueue_many(Bulk(n=n) for n in range(600))
        start_two(fleet)
        await fleet.until(lambda lines: len(lines) > 100)
        # when urgent jobs come
        before = len(fleet.lines)
        await client.enqueue_many(Urgent(n=n) for n in range(60))
        await fleet.until(lambda lines: [line[1] for line in lines].count("urgent") >= 120)
        # then they are over when few more of the backlog have been
        meanwhile = fleet.lines[before:]
        bulk = sum(line[:2] == ["start", "bulk"] for line in meanwhile)
        assert bulk < len(backlog) / 3, bulk
