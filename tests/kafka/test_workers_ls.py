"""`streams workers ls`: two workers, what each has and runs, one that dies and one that ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli_process import PATIENCE_S, Cli
from execution_handlers import OnLoop
from fleet import Fleet
from group import Group
from topics import create_topics

from streams.client import JobClient
from streams.version import VERSION

PARTITIONS = 4


async def test_who_is_there_what_each_runs_and_who_is_gone(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, PARTITIONS, queues=("default",))
    settings = {"handlers": "execution_handlers", "STREAMS_PARTITIONS": str(PARTITIONS)}
    numbers = set(range(6))
    cli = Cli(kafka, prefix, "execution_handlers")

    async def until(enough: Callable[[list[Any]], bool]) -> list[Any]:
        """What is listed, once it is so: a worker says what it does every two seconds."""
        limit = time.monotonic() + PATIENCE_S
        while not enough(found := (await cli.run("workers", "ls", "--json")).json):
            assert time.monotonic() < limit, found
            await asyncio.sleep(0.2)
        return found

    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        # given two workers with jobs that go on
        first, second = fleet.start("first"), fleet.start("second")
        await Group(kafka, f"{prefix}workers").until_members(2, fleet.logs)
        began = time.time_ns() // 1_000_000
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            handles = [await client.enqueue(OnLoop(n=n)) for n in numbers]
            await fleet.until_each("start", "on_loop", numbers)
            # then both are listed, with all partitions, and each job once
            found = await until(lambda all: sum(len(one["running"]) for one in all) == 6)
            assert len(found) == 2
            assert {one["version"] for one in found} == {VERSION}
            assert {one["group"] for one in found} == {"workers"}
            held = [number for one in found for number in one["partitions"]["default"]]
            assert sorted(held) == list(range(PARTITIONS))
            running = [job for one in found for job in one["running"]]
            assert {job["id"] for job in running} == {handle.id for handle in handles}
            assert all(job["name"] == "on_loop" and job["attempt"] == 1 for job in running)
            assert all(job["since"] >= began and job["for_ms"] >= 0 for job in running)
            assert not any(one["gone"] for one in found)
            # and people can read it
            table = await cli.run("workers", "ls")
            assert all(one["worker"] in table.output for one in found)
            table = await cli.run("workers", "ls", "--running")
            assert all(handle.id in table.output for handle in handles)
            # when one dies, it is told from the other
            names = {one["worker"].rpartition("-")[2]: one["worker"] for one in found}
            first.kill()
            found = await until(lambda all: any(one["gone"] for one in all))
            assert [one["worker"] for one in found if one["gone"]] == [names[str(first.pid)]]
            for handle in handles:
                await handle.cancel()
        # when the other one ends in good order, it is not there any more
        assert second.stop() == 0, second.log
        found = await until(lambda all: len(all) == 1)
        assert found[0]["gone"]


async def test_an_empty_list_says_so(kafka: str, prefix: str) -> None:
    await create_topics(kafka, prefix)
    said = await Cli(kafka, prefix, "execution_handlers").run("workers", "ls")
    assert (said.code, said.errors) == (0, "streams: no worker is there\n")
