"""A batch of ten thousand children on real Kafka, with failures, and a worker that is killed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from batch_handlers import EVERY, Start
from cli_process import Cli
from fleet import Fleet
from group import Group
from topics import create_topics

from streams.client import JobClient
from streams.jobs.states import State

CHILDREN = 10_000
PARTITIONS = 4


async def test_the_callback_of_a_batch_runs_once_when_all_of_its_children_are_over(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, PARTITIONS, queues=("default",))
    settings = {"handlers": "batch_handlers", "STREAMS_PARTITIONS": str(PARTITIONS)}
    cli = Cli(kafka, prefix, "batch_handlers")
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            fleet.start("a")
            fleet.start("b")
            await Group(kafka, f"{prefix}workers").until_members(2, fleet.logs)
            # given a batch whose children are being run by two workers
            began = time.monotonic()
            handle = await client.enqueue(Start(children=CHILDREN))
            callback = await handle.result(timeout="60s")
            await fleet.until(lambda lines: len(lines) > 2)
            # when one of them is killed
            fleet.workers["a"].kill()
            # then the callback runs once all children are over, dead ones included
            code, shown = 1, {}
            while code:
                code = (await cli.run("jobs", "wait", callback, "--timeout", "60s")).code
                assert time.monotonic() < began + 180, fleet.workers["b"].log
                await asyncio.sleep(0.1)
            shown = (await cli.run("jobs", "show", callback, "--json")).json
            dead = CHILDREN // EVERY
            assert shown["state"] == State.COMPLETED
            assert shown["result"] == [CHILDREN, CHILDREN - dead, dead]
            # and once only
            gathered = [line for line in fleet.lines if line[0] == "gather"]
            assert gathered == [["gather", str(CHILDREN), str(CHILDREN - dead), str(dead)]]
            print(f"{CHILDREN} children and their callback: {time.monotonic() - began:.1f} s")
        assert fleet.workers["b"].stop() == 0, fleet.workers["b"].log
