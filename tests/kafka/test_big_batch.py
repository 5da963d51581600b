"""A batch of ten thousand children on real Kafka, with failures, and a worker that is killed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from batch_handlers import EVERY, Gather, Part, Start
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


async def test_services_enqueue_batches_and_see_what_they_wait_for(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, queues=("default",))
    cli = Cli(kafka, prefix, "batch_handlers")

    def send(**options: str) -> str:
        with JobClient.sync(kafka, source="test", prefix=prefix) as jobs:
            parts = [Part(n=n) for n in (0, 2, 3)]  # the first one is dead
            return jobs.enqueue_batch(parts, then=Gather(), **options).id

    with Fleet(kafka, prefix, tmp_path, handlers="batch_handlers") as fleet:
        # given batches that were sent when no worker was there, one of them twice
        over = await asyncio.to_thread(send, id="over")
        assert await asyncio.to_thread(send, id="over") == over == "over"
        waits = await asyncio.to_thread(send, when="completed")
        worker = fleet.start("a")
        # then the one runs its callback once
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            empty = await client.enqueue_batch([], then=Gather(), id="empty")
            while (await cli.run("jobs", "wait", over)).code:
                await asyncio.sleep(0.1)
            assert [line for line in fleet.lines if line[:2] == ["gather", "3"]] == [
                ["gather", "3", "2", "1"]
            ]
            # the other one says what it waits for
            told = (
                "it waits until all of its 3 jobs are completed: 2 are; "
                "1 failed, and can be replayed"
            )
            while told not in (said := await cli.run("jobs", "why", waits)).output:
                assert worker.runs, said
                await asyncio.sleep(0.1)
            # and can be cancelled
            assert (await cli.run("jobs", "cancel", waits)).code == 0
            # one without children does not wait: here its handler fails, since it has no batch
            status = await empty.status()
            assert status.state is not State.SLEEPING
        assert worker.stop() == 0, worker.log
