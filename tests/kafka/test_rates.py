"""Rates on real Kafka: two workers, one of them killed, and no window with more than allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_process import Cli
from effects import Lines
from fleet_of_two import two_workers
from limit_handlers import Fast, Rare, Slow, Urgent
from windows import most_in_any_window


def starts(found: Lines, kind: str) -> list[int]:
    """When jobs of a kind started, in nanoseconds of one clock."""
    return sorted(int(line[3]) for line in found if line[:2] == ["start", kind])


async def test_rates_are_kept_and_used_by_two_workers_of_which_one_is_killed(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with two_workers(kafka, prefix, tmp_path, "limit_handlers", 8) as (fleet, client):
        # given two backlogs, one of them of one key: one partition has all of it
        await client.enqueue_many(Fast(n=7) for n in range(1_500))
        slow = await client.enqueue_many(Slow(n=n) for n in range(24))
        cli = Cli(kafka, prefix, "limit_handlers")
        why = await cli.run("jobs", "why", slow[-1].id)
        while "slow_rate starts 2 times in 3s at most" not in why.output:
            if "is completed" in why.output:  # partitions have their turns in any order
                slow.pop()
            why = await cli.run("jobs", "why", slow[-1].id)
        # when one worker is killed, and comes back
        await fleet.until(lambda found: len(starts(found, "fast")) > 200)
        urgent = await client.enqueue(Urgent(n=1))
        await urgent.result(timeout="20s")  # nobody else is held up
        fleet.workers["a"].kill()
        await fleet.until(lambda found: len(starts(found, "fast")) > 1_000)
        fleet.start("a", WORKER="a")
        await fleet.until(
            lambda found: len(starts(found, "fast")) >= 1_500 and len(starts(found, "slow")) >= 24
        )
        # then no window has more starts than allowed, and the first ones are well used
        fast, slow_times = starts(fleet.lines, "fast"), starts(fleet.lines, "slow")
        assert most_in_any_window(fast, 1_000_000_000) <= 50
        assert most_in_any_window(slow_times, 3_000_000_000) <= 2
        used = (fast[199] - fast[0]) / 1e9
        print(f"200 starts of 50/s took {used:.2f} s")


@pytest.mark.long
@pytest.mark.parametrize("spread", ["over all partitions", "in one of them"])
async def test_nine_tenths_of_five_a_minute_are_used_over_eight_partitions(
    kafka: str, prefix: str, tmp_path: Path, spread: str
) -> None:
    jobs, minutes = 26, 5
    async with two_workers(kafka, prefix, tmp_path, "limit_handlers", 8) as (fleet, client):
        most_of_it = None if spread == "over all partitions" else 7
        await client.enqueue_many(
            Rare(n=n if most_of_it is None or n % 10 == 0 else most_of_it) for n in range(jobs)
        )
        if most_of_it is None:  # one worker is killed in the middle
            await fleet.until(lambda found: len(starts(found, "rare")) >= 8, timeout_s=200)
            fleet.workers["a"].kill()
        await fleet.until(
            lambda found: len(starts(found, "rare")) >= jobs, timeout_s=60 * (minutes + 3)
        )
        times = starts(fleet.lines, "rare")
        took = (times[-1] - times[0]) / 1e9
        print(f"{len(times)} starts of 5/min took {took:.1f} s")
        assert most_in_any_window(times, 60_000_000_000) <= 5
        # The first of them opens the first minute.
        assert took <= 60 * (jobs - 1) / 5 / 0.9
