"""Long jobs on real Kafka: a checkpoint goes on elsewhere, and everybody sees how far a job is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from cli_process import Cli
from fleet import Fleet
from group import Group
from long_handlers import HALF, KINDS, PARTS
from topics import create_topics

from streams.client import Handle, JobClient, JobStatus
from streams.jobs.notes import Progress
from streams.jobs.states import State

NUMBERS = range(4)
PARTITIONS = 4


async def until_status(handle: Handle, enough: Callable[[JobStatus], bool]) -> JobStatus:
    """Its status, once it is enough: topics say nothing, and have to be read."""
    while not enough(status := await handle.status()):
        await asyncio.sleep(0.1)
    return status


async def test_the_next_worker_goes_on_from_the_checkpoint_of_one_that_was_killed(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, PARTITIONS, queues=("default",))
    latch = tmp_path / "latch"
    settings = {
        "handlers": "long_handlers",
        "STREAMS_PARTITIONS": str(PARTITIONS),
        "STREAMS_PROCESSES": "4",
    }
    cli = Cli(kafka, prefix, "long_handlers")
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given jobs on two workers, whose last checkpoint is that of their half
            fleet.start("a")
            fleet.start("b")
            await Group(kafka, f"{prefix}workers").until_members(2, fleet.logs)
            handles = [
                await client.enqueue(kind(n=n, latch=str(latch))) for kind in KINDS for n in NUMBERS
            ]
            half = Progress(processed=HALF, total=PARTS)
            for handle in handles:
                status = await until_status(handle, lambda s: s.progress == half)
                assert status.state is State.RUNNING
                assert status.log[-1].text == f"part {HALF - 1} is done"
            shown = (await cli.run("jobs", "show", handles[0].id, "--json")).json
            assert shown["checkpoint"] == HALF
            assert shown["progress"] == {
                "processed": HALF,
                "total": PARTS,
                "percentage": 100 * HALF / PARTS,
            }
            by_a = {line[4] for line in fleet.lines}
            assert len(by_a) > 2  # processes of both workers
            # when one is killed
            fleet.workers["a"].kill()
            latch.touch()
            # then the other one does what is left of its jobs, and nothing twice
            for handle in handles:
                assert await handle.result(timeout="60s") == PARTS
            parts = [tuple(line[1:4]) for line in fleet.lines]
            assert sorted(parts) == sorted(
                (kind.__job_name__, str(n), str(part))
                for kind in KINDS
                for n in NUMBERS
                for part in range(PARTS)
            )
            for handle in handles:
                status = await handle.status()
                assert status.progress == Progress(processed=PARTS, total=PARTS)
                assert [line.text for line in status.log] == [
                    f"part {part} is done" for part in range(PARTS)
                ]
            text = (await cli.run("jobs", "show", handles[0].id)).output
            assert "6 of 6 (100 %)" in text and "part 5 is done" in text
        assert fleet.workers["b"].stop() == 0, fleet.workers["b"].log
