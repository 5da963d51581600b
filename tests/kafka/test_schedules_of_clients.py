"""Schedules that a service adds, on real Kafka: a worker runs them, as they are now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import Cli
from effects import until
from topics import create_topics
from worker_process import WorkerProcess

from streams import Cron, Every, JobPayload
from streams.cli import exits
from streams.client import JobClient
from streams.errors import ScheduleInvalid, TopicMismatch


class Invoice(JobPayload, name="invoice", key="account", queue="bulk"):
    """As `cron_handlers` has it."""

    account: int
    note: str = ""


class Elsewhere(JobPayload, name="elsewhere", queue="nowhere"): ...


EACH_SECOND = Cron("* * * * * *")


@pytest.fixture
def effects_file(tmp_path: Path) -> Path:
    return tmp_path / "effects"


@pytest.fixture
def worker(kafka: str, prefix: str, tmp_path: Path, effects_file: Path) -> Iterator[WorkerProcess]:
    """Not started yet."""
    worker = WorkerProcess(kafka, prefix, "cron_handlers", tmp_path, EFFECTS=str(effects_file))
    yield worker
    if worker.process is not None:
        worker.stop()


async def listed(cli: Cli) -> dict[str, dict[str, Any]]:
    said = await cli.run("cron", "ls", "--json")
    assert said.code == exits.DONE, said.errors
    return {each["name"]: each for each in said.json}


async def test_a_worker_runs_what_a_client_adds_replaces_and_removes(
    kafka: str, prefix: str, worker: WorkerProcess, effects_file: Path
) -> None:
    await create_topics(kafka, prefix)
    cli = Cli(kafka, prefix, "cron_handlers")

    def log() -> str:
        return worker.log

    worker.start()
    async with JobClient(kafka, source="billing", prefix=prefix) as jobs:
        # given one
        await jobs.schedule("dunning:7", EACH_SECOND, Invoice(account=7, note="a"))
        await until(effects_file, lambda x: x.count(["invoice", "7", "a"]) >= 2, log)
        told = (await listed(cli))["dunning:7"]
        assert (told["origin"], told["job"], told["key"]) == ("added", "invoice", "invoice:7")
        # when it is replaced, also by a client that has not seen it before
        await asyncio.to_thread(_replace, kafka, prefix)
        await until(effects_file, lambda x: ["invoice", "8", "b"] in x, log)
        # then only the new one runs
        lines = await until(effects_file, lambda x: x[-2:] == [["invoice", "8", "b"]] * 2, log)
        first = lines.index(["invoice", "8", "b"])
        assert ["invoice", "7", "a"] not in lines[first + 1 :]
        # and what is in the code is refused, and is not touched
        with pytest.raises(ScheduleInvalid, match="yearly is in the code of a worker"):
            await jobs.schedule("yearly", EACH_SECOND, Invoice(account=9))
        with pytest.raises(ScheduleInvalid, match="streams cron pause yearly"):
            await jobs.unschedule("yearly")
        # when it is removed, then nothing is left of it, and nothing comes any more
        assert await jobs.unschedule("dunning:7") is True
        assert await jobs.unschedule("dunning:7") is False
        async with asyncio.timeout(30):
            while "dunning:7" in await listed(cli):
                pass
        await jobs.schedule("beat", Every("1s"), Invoice(account=1))  # known no sooner than that
        beat = ["invoice", "1"]
        lines = await until(effects_file, lambda x: x.count(beat) >= 4, log)
        second = lines.index(beat, lines.index(beat) + 1)
        assert set(map(tuple, lines[second:])) == {tuple(beat)}
        assert "dunning:7" not in await listed(cli)


def _replace(kafka: str, prefix: str) -> None:
    with JobClient.sync(kafka, source="billing", prefix=prefix) as jobs:
        jobs.schedule("dunning:7", EACH_SECOND, Invoice(account=8, note="b"))
        assert jobs.unschedule("nobody") is False


async def test_many_are_added_at_once_and_each_is_there(kafka: str, prefix: str) -> None:
    await create_topics(kafka, prefix)
    async with JobClient(kafka, source="billing", prefix=prefix) as jobs:
        adding = [jobs.schedule(f"n:{n}", Every("1d"), Invoice(account=n)) for n in range(200)]
        await asyncio.gather(*adding)
        assert await jobs.unschedule("n:7") is True
    found = await listed(Cli(kafka, prefix, "cron_handlers"))
    assert {name for name in found if name.startswith("n:")} == {
        f"n:{n}" for n in range(200) if n != 7
    }


async def test_what_is_not_there_is_said(kafka: str, prefix: str) -> None:
    async with JobClient(kafka, source="billing", prefix=prefix) as jobs:
        with pytest.raises(TopicMismatch, match="does not exist"):
            await jobs.schedule("dunning:7", EACH_SECOND, Invoice(account=7))
        await create_topics(kafka, prefix)
        with pytest.raises(TopicMismatch, match="nowhere does not exist"):
            await jobs.schedule("dunning:7", EACH_SECOND, Elsewhere())
