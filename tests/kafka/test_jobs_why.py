"""`streams jobs why` against a real worker: what each job waits for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from cli_process import PATIENCE_S, Cli
from waiting_handlers import Halting, Load
from worker_process import WorkerProcess

from streams.cli import exits
from streams.client import JobClient
from streams.client_handle import Handle


async def answer(cli: Cli, id: str, kind: str) -> Any:
    """Ask until the answer is of this kind: workers say what they run every two seconds."""
    until = time.monotonic() + PATIENCE_S
    while True:
        said = await cli.run("jobs", "why", id, "--json")
        if said.code == exits.DONE and said.json["why"] == kind:
            return said.json
        assert time.monotonic() < until, said.output + said.errors
        await asyncio.sleep(1)


async def reached(handle: Handle, state: str) -> str:
    """The job's id, once the worker has brought it there."""
    async with asyncio.timeout(PATIENCE_S):
        while (await handle.status()).state != state:
            await asyncio.sleep(0.2)
    return handle.id


async def test_each_job_says_what_it_waits_for(kafka: str, prefix: str, tmp_path: Path) -> None:
    cli = Cli(kafka, prefix, "waiting_handlers")
    assert (await cli.run("topics", "apply")).code == exits.DONE
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        # given a job, and no worker
        waiting = await client.enqueue(Load(account=1))
        first = waiting.id
        unread = await answer(cli, first, "unread")
        assert (unread["before"], unread["worker"]) == (0, None)
        assert unread["remedy"] == "no worker has its partition: start one"
        # one job never ends: nothing is to be gained by waiting for it
        with WorkerProcess(kafka, prefix, "waiting_handlers", tmp_path, STREAMS_GRACE="1s"):
            # when one runs, then the job is retried
            await reached(waiting, "retrying")
            retrying = await answer(cli, first, "retrying")
            assert "attempt 2 of 4 is at" in retrying["answer"]
            # and another of its key is parked behind it
            second = await client.enqueue(Load(account=1, how="completes"))
            second_id = await reached(second, "parked")
            behind = await answer(cli, second_id, "behind")
            assert (behind["state"], behind["before"]) == ("parked", 1)
            assert behind["blocker"]["id"] == first
            assert behind["blocker"]["state"] == "retrying"
            assert behind["blocker"]["due"] == retrying["due"]
            assert f"it waits for load {first} of its key load:1: retrying" in behind["answer"]
            shown = await cli.run("jobs", "why", second_id, "--name", "load", "--queue", "default")
            assert shown.code == exits.DONE
            assert f"it waits for load {first}" in shown.output
            # and so of the others
            running = (await client.enqueue(Load(account=3, how="runs"))).id
            in_hand = (await client.enqueue(Load(account=3, how="completes"))).id
            sent = [
                (await client.enqueue(Load(account=2), delay="1h"), "scheduled"),
                (await client.enqueue(Load(account=4, how="completes")), "completed"),
                (await client.enqueue(Halting(account=5)), "dead"),
                (await client.enqueue(Halting(account=5)), "parked"),
            ]
            later, done, dead, halted = [await reached(*each) for each in sent]
            answers = await asyncio.gather(
                answer(cli, later, "delayed"),
                answer(cli, running, "running"),
                answer(cli, in_hand, "behind"),
                answer(cli, done, "over"),
                answer(cli, dead, "dead"),
                answer(cli, halted, "halted"),
            )
            assert answers[0]["due"] > time.time() * 1000
            assert answers[1]["worker"] in answers[1]["answer"]
            assert f"it waits for load {running}" in answers[2]["answer"]
            assert answers[3]["state"] == "completed"
            assert (
                answers[4]["remedy"] == f"streams dlq replay {dead} --job halting --queue default"
            )
            assert answers[5]["remedy"] == answers[4]["remedy"]
            assert "the account is closed" in answers[5]["answer"]
        assert (await cli.run("jobs", "why", "nobody")).code == exits.NOT_FOUND
