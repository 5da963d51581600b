"""A console over very many jobs: it answers while it reads them, and lists each of them once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from console_calls import client_of
from console_process import ConsoleProcess
from topics import create_topics

from streams.client_request import now_ms
from streams.dev.bench import load
from streams.dev.bench.job_mix import JobMix, state_of
from streams.wire.topics import TopicNames

QUEUE = "default"
PARTITIONS = 2
PAGE = 500
MEMORY_MB = 300
ASKED_MEANWHILE = (
    "/jobs?limit=50",
    "/jobs?state=failed&limit=50",
    "/jobs?text=nowhere",
    "/queues",
    "/",
    "/ui/jobs",
    "/ui/dead-letters",
)


async def fill(kafka: str, names: TopicNames, mix: JobMix) -> None:
    await load.fill(kafka, names.queue(QUEUE), mix.sent())
    await load.fill(kafka, names.ledger(QUEUE), mix.over())
    await load.fill(kafka, names.retry(QUEUE), mix.open())


async def standing(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/health")
    assert answer.status_code in (200, 503), answer.text  # 503: more wait than is healthy
    told: dict[str, Any] = answer.json()
    return told


async def built(client: httpx.AsyncClient) -> int:
    """Ask for pages until it has read all; how often it was asked."""
    asked = 0
    while True:
        for path in ASKED_MEANWHILE:
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            asked += 1
        if (await standing(client))["projection"]["built"]:
            return asked


async def every_job(client: httpx.AsyncClient) -> AsyncIterator[dict[str, Any]]:
    """All that are listed, page by page."""
    cursor: str | None = ""
    while cursor is not None:
        params: dict[str, Any] = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
        answer = await client.get("/jobs", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for job in page["data"]:
            yield job
        cursor = page["cursor"]


def peak_mb(pid: int) -> float:
    """The most memory that a process had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("there is no such line")


@pytest.mark.parametrize(
    "jobs",
    [
        pytest.param(200_000),
        pytest.param(5_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3_600)]),
    ],
)
async def test_very_many_jobs_are_read_while_it_answers_and_each_is_listed_once(
    kafka: str, prefix: str, tmp_path: Path, jobs: int
) -> None:
    # given topics with many jobs in all states
    await create_topics(kafka, prefix)
    mix = JobMix(jobs, now_ms(), PARTITIONS)
    await fill(kafka, TopicNames(prefix), mix)
    expected = Counter(state_of(n, jobs).value for n in range(jobs))

    # when a console is started over them, which lists all
    everything = {"STREAMS_LISTED_COMPLETED": "all/all", "STREAMS_LISTED_FAILED": "all/all"}
    with ConsoleProcess(kafka, prefix, "", tmp_path, **everything) as console:
        async with client_of(console) as client:
            asked = await built(client)
            assert asked > len(ASKED_MEANWHILE)  # or it was built before it was asked

            # then it has counted all
            queues = (await client.get("/queues")).json()["data"]
            (queue,) = [each for each in queues if each["name"] == QUEUE]
            assert queue["states"] == dict(expected)

            # and lists each of them once, as it is
            seen: set[str] = set()
            states: Counter[str] = Counter()
            async for job in every_job(client):
                seen.add(job["id"])
                states[job["state"]] += 1
            assert len(seen) == jobs
            assert states == expected

            # in little memory
            assert console.process is not None
            assert peak_mb(console.process.pid) < MEMORY_MB
