"""`streams jobs why` against a real worker: what each job waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli_process import PATIENCE_S, Cli
from waiting_handlers import Halting, Load
from worker_process import WorkerProcess

from streams.cli import exits
from streams.client import JobClient


async def answer(cli: Cli, id: str, is_it: Callable[[Any], bool]) -> Any:
    """Ask until the worker has come so far."""
    until = time.monotonic() + PATIENCE_S
    while True:
        said = await cli.run("jobs", "why", id, "--json")
        if said.code == exits.DONE and is_it(said.json):
            return said.json
        assert time.monotonic() < until, said.output + said.errors
        await asyncio.sleep(0.2)


def its(kind: str) -> Callable[[Any], bool]:
    return lambda said: bool(said["why"] == kind)


async def test_each_job_says_what_it_waits_for(kafka: str, prefix: str, tmp_path: Path) -> None:
    cli = Cli(kafka, prefix, "waiting_handlers")
    assert (await cli.run("topics", "apply")).code == exits.DONE
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        # given a job, and no worker
        first = (await client.enqueue(Load(account=1))).id
        unread = await answer(cli, first, its("unread"))
        assert (unread["before"], unread["worker"]) == (0, None)
        assert unread["remedy"] == "no worker has its partition: start one"
        with WorkerProcess(kafka, prefix, "waiting_handlers", tmp_path):
            # when one runs, then the job is retried
            retrying = await answer(cli, first, its("retrying"))
            assert "attempt 2 of 4 is at" in retrying["answer"]
            # and another of its key is parked behind it
            second = (await client.enqueue(Load(account=1, how="completes"))).id
            behind = await answer(cli, second, its("behind"))
            assert (behind["state"], behind["before"]) == ("parked", 1)
            assert behind["blocker"]["id"] == first
            assert behind["blocker"]["state"] == "retrying"
            assert behind["blocker"]["due"] == retrying["due"]
            assert f"it waits for load {first} of its key load:1: retrying" in behind["answer"]
            shown = await cli.run("jobs", "why", second, "--name", "load", "--queue", "default")
            assert shown.code == exits.DONE
            assert f"it waits for load {first}" in shown.output
            # and so of the others
            later = (await client.enqueue(Load(account=2), delay="1h")).id
            running = (await client.enqueue(Load(account=3, how="runs"))).id
            in_hand = (await client.enqueue(Load(account=3, how="completes"))).id
            done = (await client.enqueue(Load(account=4, how="completes"))).id
            dead = (await client.enqueue(Halting(account=5))).id
            halted = (await client.enqueue(Halting(account=5))).id
            answers = await asyncio.gather(
                answer(cli, later, its("delayed")),
                answer(cli, running, its("running")),
                answer(cli, in_hand, its("behind")),
                answer(cli, done, its("over")),
                answer(cli, dead, its("dead")),
                answer(cli, halted, its("halted")),
            )
            assert answers[0]["due"] > time.time() * 1000
            assert answers[1]["worker"] in answers[1]["answer"]
            assert f"it waits for load {running}" in answers[2]["answer"]
            assert answers[3]["state"] == "completed"
            assert (
                answers[4]["remedy"] == f"streams dlq replay {dead} --name halting --queue default"
            )
            assert answers[5]["remedy"] == answers[4]["remedy"]
            assert "the account is closed" in answers[5]["answer"]
        assert (await cli.run("jobs", "why", "nobody")).code == exits.NOT_FOUND
