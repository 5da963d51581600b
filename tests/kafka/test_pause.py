"""A queue that is paused on real Kafka, on two workers and through the kill of one of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cli_process import Cli
from fleet import Fleet
from group import Group
from pause_handlers import Bulk, Plain
from topics import create_topics

from streams.cli import exits
from streams.client import JobClient

PARTITIONS = 4
JOBS = 20


async def test_a_paused_queue_starts_nothing_through_a_kill_and_a_restart_and_then_all(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, PARTITIONS, queues=("default", "bulk"))
    settings = {
        "handlers": "pause_handlers",
        "STREAMS_PARTITIONS": str(PARTITIONS),
        "STREAMS_QUEUES": "default,bulk",
    }
    cli = Cli(kafka, prefix, "pause_handlers")
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            fleet.start("a")
            fleet.start("b")
            await Group(kafka, f"{prefix}workers").until_members(2, fleet.logs)
            # given a queue that both workers know to be paused
            said = await cli.run("queues", "pause", "bulk", "--reason", "a migration")
            assert said.code == 0, said
            for name in ("a", "b"):
                while "queue bulk is paused: a migration" not in fleet.workers[name].log:
                    await asyncio.sleep(0.05)
            # when jobs come, one worker is killed, and comes back
            bulk = [await client.enqueue(Bulk(n=n)) for n in range(JOBS)]
            fleet.workers["a"].kill()
            fleet.start("a")
            plain = [await client.enqueue(Plain(n=n)) for n in range(JOBS)]
            for handle in plain:
                await handle.result(timeout="60s")
            # then other queues go on, and nothing of this one has started
            assert {line[0] for line in fleet.lines} == {"plain"}
            why = (await cli.run("jobs", "why", bulk[0].id)).output
            assert "queue bulk is paused since" in why and "a migration" in why
            assert "streams queues resume bulk" in why
            listed = (await cli.run("queues", "ls", "--json")).json
            assert [each["queue"] for each in listed if each["paused"]] == ["bulk"]
            # and all of it once it is resumed
            assert (await cli.run("queues", "resume", "bulk")).code == 0
            for handle in bulk:
                await handle.result(timeout="60s")
            assert sorted(int(n) for kind, n in fleet.lines if kind == "bulk") == list(range(JOBS))
            said = await cli.run("queues", "pause", "nothing")
            assert said.code == exits.USAGE and "there is no queue 'nothing'" in said.errors
        for worker in fleet.running:
            assert worker.stop() == 0, worker.log
