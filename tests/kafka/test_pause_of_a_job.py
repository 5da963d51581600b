"""One job name paused, purged, and cancelled by an event, on real Kafka through a kill."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cli_process import Cli
from fleet_of_two import fleet_to_start, start_two, two_workers
from pause_handlers import Account, Left, Plain, Tenant

from streams.cli import exits
from streams.errors import JobFailed


async def test_a_job_that_is_paused_holds_nobody_up_and_is_purged_or_cancelled_by_an_event(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    cli = Cli(kafka, prefix, "pause_handlers")
    events = ("account.left",)
    opening = two_workers(kafka, prefix, tmp_path, "pause_handlers", events=events)
    async with opening as (fleet, client):
        # given one job name that is paused
        paused = await cli.run("queues", "pause", "default", "--job", "account_job")
        assert paused.code == 0, paused
        for name in ("a", "b"):
            while "account_job of queue default is paused" not in fleet.workers[name].log:
                await asyncio.sleep(0.05)
        accounts = [await client.enqueue(Account(account=n % 5, n=n)) for n in range(20)]
        fleet.workers["a"].kill()
        fleet.start("a")
        # then others of its queue run
        for handle in [await client.enqueue(Plain(n=n)) for n in range(20)]:
            await handle.result(timeout="60s")
        why = (await cli.run("jobs", "why", accounts[0].id)).output
        assert "account_job of queue default is paused since" in why
        assert "streams queues resume default --job account_job" in why
        (listed,) = [
            each for each in (await cli.run("queues", "ls", "--json")).json if each["paused_jobs"]
        ]
        assert list(listed["paused_jobs"]) == ["account_job"] and listed["paused"] is None
        # when an event cancels those of one account
        await client.emit(Left(account=3))
        for handle in accounts[3::5]:
            with pytest.raises(JobFailed, match=r"cancelled by account\.left"):
                await handle.result(timeout="60s")
        # and the rest is purged
        asks = await cli.run("queues", "purge", "default", "--job", "account_job")
        assert asks.code == exits.USAGE and "add --yes" in asks.errors
        said = await cli.run("queues", "purge", "default", "--job", "account_job", "--yes")
        assert said.code == 0, said
        for handle in accounts:
            with pytest.raises(JobFailed, match=r"cancelled|purged"):
                await handle.result(timeout="60s")
        # then what comes later runs once it is resumed
        later = await client.enqueue(Account(account=1, n=99))
        resumed = await cli.run("queues", "resume", "default", "--job", "account_job")
        assert resumed.code == 0
        await later.result(timeout="60s")
        assert [line for line in fleet.lines if line[0] == "account"] == [["account", "99"]]


async def test_ten_jobs_of_one_tenant_are_not_behind_the_thousands_of_another(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with fleet_to_start(kafka, prefix, tmp_path, "pause_handlers") as (fleet, client):
        # given a tenant with a long backlog
        await client.enqueue_many(Tenant(tenant=1, n=n) for n in range(8_000))
        start_two(fleet)
        await fleet.until(lambda found: len(found) > 200)
        # when another one sends ten
        before = len(fleet.lines)
        ten = await client.enqueue_many(Tenant(tenant=2, n=n) for n in range(10))
        fleet.workers["a"].kill()
        fleet.start("a")
        for handle in ten:
            await handle.result(timeout="60s")
        # then they are over when most of the backlog still waits
        meanwhile = len(fleet.lines) - before
        print(f"{meanwhile} jobs ran until the ten of the other tenant were over")
        assert meanwhile < 6_000
