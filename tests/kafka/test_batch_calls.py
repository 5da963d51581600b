"""Handlers of batches on real Kafka: two workers, one of them killed; nothing is lost."""

from __future__ import annotations

from pathlib import Path

from effects import Lines
from fleet_of_two import two_workers
from limit_handlers import Row

TABLES = 60
JOBS = 3_000


def did(found: Lines) -> dict[int, list[int]]:
    """By table, the numbers of the rows that were done, as they were."""
    numbers: dict[int, list[int]] = {}
    for line in found:
        if line[:2] == ["did", "row"]:
            numbers.setdefault(int(line[2]), []).append(int(line[3]))
    return numbers


def is_whole(found: Lines) -> bool:
    return sum(len(set(numbers)) for numbers in did(found).values()) == JOBS


async def test_each_job_runs_in_a_call_in_the_order_of_its_key_though_a_worker_is_killed(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with two_workers(kafka, prefix, tmp_path, "limit_handlers") as (fleet, client):
        sent = await client.enqueue_many(Row(table=n % TABLES, n=n) for n in range(JOBS))
        await fleet.until(lambda found: sum(map(len, did(found).values())) > 300)
        fleet.workers["a"].kill()
        await fleet.until(is_whole)
        assert await sent[-1].result(timeout="30s") is None
        for numbers in did(fleet.lines).values():
            once = list(dict.fromkeys(numbers))
            assert once == sorted(once)
        sizes = [int(line[2]) for line in fleet.lines if line[0] == "call"]
        assert max(sizes) == 20
