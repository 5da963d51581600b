"""Resources, middleware, listeners and `watch` with two workers on a real Kafka."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from around_handlers import Watched
from cli_process import Cli
from fleet import Fleet
from group import Group
from topics import create_topics

from streams.client import Change, JobClient
from streams.errors import TopicMismatch
from streams.jobs.states import State

JOBS = 20
RETRIED, DIES = 3, 4


async def test_what_is_around_handlers_on_two_workers(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    began = datetime.now(UTC)
    settings = {"handlers": "around_handlers", "STREAMS_MIDDLEWARE": "around_handlers:broken"}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        first, second = fleet.start("first"), fleet.start("second")
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given somebody who watches, and two workers that each have opened what they need
            watching = asyncio.create_task(_watch(client, began))
            await fleet.until(lambda found: sum(what == "open" for what, *_ in found) == 4)
            await Group(kafka, f"{prefix}workers").until_members(2, fleet.logs)
            # when jobs of many keys run, one of which is retried, and one gives up
            for n in range(JOBS):
                fails = {RETRIED: 1, DIES: 2}.get(n, 0)
                await client.enqueue(Watched(account=n, n=n, fails=fails), id=str(n))
            # then whoever watches sees what becomes of each, whichever worker has it
            async with asyncio.timeout(90):
                changes = await watching
        of = {id: [c.state for c in changes if c.id == id] for id in map(str, range(JOBS))}
        assert of.pop(str(RETRIED)) == [State.RETRYING, State.COMPLETED]
        assert of.pop(str(DIES))[:2] == [State.RETRYING, State.DEAD]
        assert set(map(tuple, of.values())) == {(State.COMPLETED,)}
        dead = next(change for change in changes if change.state is State.DEAD)
        assert (dead.name, dead.queue, dead.error) == ("watched", "default", "OSError: not now")
        # and so does the command line
        told = await Cli(kafka, prefix, "around_handlers").run(
            *("jobs", "tail", "--since", "1h", "--state", "completed", "--json"),
            *("--limit", str(JOBS - 1)),
        )
        assert {json.loads(line)["id"] for line in told.output.splitlines()} == {
            str(n) for n in range(JOBS) if n != DIES
        }, told
        await fleet.until(lambda found: sum(what == "heard" for what, *_ in found) == JOBS)
        assert first.stop() == second.stop() == 0, fleet.logs()
        lines = fleet.lines
    # and each worker opened what it needs once, and closed it in reverse when all had run
    for worker in (first, second):
        assert "Broken.before failed" in worker.log
        own = [line[:-1] for line in lines if line[-1] == str(worker.pid)]
        assert own[:2] == [["open", "database"], ["open", "cache"]]
        assert own[-2:] == [["close", "cache"], ["close", "database"]]
        ran = [line[1] for line in own if line[0] == "ran"]
        heard = [line[2] for line in own if line[0] == "heard" and line[1] == "completed"]
        assert ran and sorted(heard) == sorted(ran)


async def _watch(client: JobClient, since: datetime) -> list[Change]:
    changes: list[Change] = []
    async with aclosing(client.watch(name="watched", since=since)) as watched:
        async for change in watched:
            changes.append(change)
            if len({c.id for c in changes if c.state in (State.COMPLETED, State.DEAD)}) == JOBS:
                return changes
    raise AssertionError("it ended")


async def test_a_resource_that_can_not_be_opened_ends_the_worker_with_1(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    (tmp_path / "broken_resource.py").write_text(
        "from streams import Resource, job\n"
        "def open_nothing():\n    raise OSError('no route to host')\n"
        "@job\nasync def needs(n: int, it: object = Resource(open_nothing)) -> None: ...\n"
    )
    with Fleet(
        kafka, prefix, tmp_path, handlers="broken_resource", PYTHONPATH=str(tmp_path)
    ) as fleet:
        worker = fleet.start("worker")
        assert await worker.ended() == 1, worker.log
        assert "resource open_nothing could not be opened: OSError('no route to host')" in (
            worker.log
        )


async def test_what_is_not_there_can_not_be_watched(kafka: str, prefix: str) -> None:
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        with pytest.raises(TopicMismatch, match="no queues to watch"):
            await anext(client.watch())
        await create_topics(kafka, prefix)
        with pytest.raises(TopicMismatch, match="is the queue 'nowhere' right"):
            await anext(client.watch(queue="nowhere"))
        with pytest.raises(ValueError, match="exploded"):
            await anext(client.watch(state="exploded"))
