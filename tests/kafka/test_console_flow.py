"""The flow of the guide over HTTP: POST, 202, poll, progress, result, cancel, 404."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from console_calls import client_of, until
from console_process import ConsoleProcess
from topics import create_topics
from worker_process import WorkerProcess

HANDLERS = "console_handlers"


@pytest.fixture
def mended(tmp_path: Path) -> Path:
    """Once this file is there, what fails succeeds."""
    return tmp_path / "mended"


@pytest.fixture
async def topics(kafka: str, prefix: str) -> None:
    await create_topics(kafka, prefix, events=("user.signed_up",))


@pytest.fixture
def worker(
    topics: None, kafka: str, prefix: str, tmp_path: Path, mended: Path
) -> Iterator[WorkerProcess]:
    with WorkerProcess(kafka, prefix, HANDLERS, tmp_path / "worker", MENDED=str(mended)) as worker:
        yield worker


@pytest.fixture
async def client(
    topics: None, kafka: str, prefix: str, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    with ConsoleProcess(kafka, prefix, HANDLERS, tmp_path / "console") as console:
        async with client_of(console) as client:
            yield client


async def events(client: httpx.AsyncClient, path: str, **headers: str) -> list[dict[str, str]]:
    """All events of a job, up to its end."""
    found: list[dict[str, str]] = []
    async with client.stream("GET", f"{path}/events", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        one: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                one[name] = value
            elif one:
                found.append(one)
                one = {}
    return found


def mend(mended: Path) -> None:
    mended.touch()


async def test_the_flow_of_the_guide(
    client: httpx.AsyncClient, worker: WorkerProcess, mended: Path
) -> None:
    # when a job is enqueued
    accepted = await client.post("/jobs", json={"name": "charge", "payload": {"account": 7}})
    # then it is there at once, and becomes what it returns
    assert accepted.status_code == 202, accepted.text
    job_id = accepted.json()["jobId"]
    assert accepted.json() == {"jobId": job_id, "status": "queued"}
    assert accepted.headers["location"] == f"/jobs/{job_id}"
    polled = await client.get(accepted.headers["location"])
    assert polled.status_code == 200, polled.text
    data = await until(client, f"/jobs/{job_id}", "completed")
    assert data["result"] == {"charged": 7}
    assert "failedReason" not in data
    assert data["payload"] == {"account": 7, "currency": "EUR"}
    assert data["key"] == "charge:7"

    # a long one tells its progress, live
    napping = (await client.post("/jobs", json={"name": "nap", "payload": {"steps": 3}})).json()
    seen = await events(client, f"/jobs/{napping['jobId']}")
    assert seen[-1]["event"] == "end"
    end = json.loads(seen[-1]["data"])
    assert (end["state"], end["result"]) == ("completed", "rested")
    assert end["progress"] == {"processed": 3, "total": 4, "percentage": 75.0}
    assert [line["text"] for line in end["log"]] == ["step 0", "step 1", "step 2"]
    # who has seen the end is told not to come again
    again = await client.get(
        f"/jobs/{napping['jobId']}/events", headers={"Last-Event-ID": seen[-1]["id"]}
    )
    assert again.status_code == 204

    # one that runs is cancelled
    endless = (await client.post("/jobs", json={"name": "nap", "payload": {"steps": 99}})).json()
    path = f"/jobs/{endless['jobId']}"
    why = (await client.get(f"{path}/why")).json()["data"]
    assert why["why"] in ("running", "unread"), why
    cancelled = await client.post(f"{path}/cancel", json={"reason": "enough"})
    assert cancelled.status_code == 202, cancelled.text
    data = await until(client, path, "cancelled")
    assert (data["failedReason"], "result" in data) == ("enough", False)
    assert (await client.post(f"{path}/cancel")).status_code == 409

    # one that fails is dead, says why, and is replayed
    failing = await client.post("/jobs", json={"name": "charge", "payload": {"account": -1}})
    path = failing.headers["location"]
    data = await until(client, path, "dead")
    assert "the card is blocked" in data["failedReason"]
    assert data["history"][-1]["attempt"] == 1
    mend(mended)
    assert (await client.post(f"{path}/replay")).status_code == 202
    data = await until(client, path, "completed")
    assert (data["result"], data["generation"]) == ({"charged": -1}, 1)

    # what is not there is not found
    missing = await client.get("/jobs/nobody")
    assert (missing.status_code, missing.headers["content-type"]) == (
        404,
        "application/problem+json",
    )
    assert missing.json()["detail"] == "there is no job nobody"


async def test_straight_after_a_202_a_job_is_there_on_any_console(
    topics: None, kafka: str, prefix: str, tmp_path: Path
) -> None:
    with (
        ConsoleProcess(kafka, prefix, HANDLERS, tmp_path / "one") as first,
        ConsoleProcess(kafka, prefix, "", tmp_path / "two") as second,
    ):
        async with client_of(first) as one, client_of(second) as other:

            async def there(number: int) -> None:
                id = f"a/b ~1 {number}"
                said = await one.post(
                    "/jobs",
                    json={"name": "charge", "payload": {"account": number}},
                    headers={"Idempotency-Key": id},
                )
                assert said.json() == {"jobId": id, "status": "queued"}, said.text
                for client in (other, one):
                    found = await client.get(said.headers["location"])
                    assert found.status_code == 200, found.text
                    assert found.json()["data"]["id"] == id

            await asyncio.gather(*(there(number) for number in range(40)))


async def test_straight_after_a_202_a_job_is_there_though_its_queue_was_made_a_moment_ago(
    topics: None, kafka: str, prefix: str, tmp_path: Path
) -> None:
    # given two consoles that were started before one of their queues was made
    queues = {"STREAMS_QUEUES": "critical,default,bulk,late"}
    with (
        ConsoleProcess(kafka, prefix, "", tmp_path / "one", **queues) as first,
        ConsoleProcess(kafka, prefix, "", tmp_path / "two", **queues) as second,
    ):
        async with client_of(first) as one, client_of(second) as other:
            for client in (one, other):
                assert (await client.get("/jobs/nobody")).status_code == 404
            # when that queue has a job
            await create_topics(kafka, prefix, queues=("late",))
            said = await one.post("/jobs", json={"name": "charge", "queue": "late"})
            assert said.status_code == 202, said.text
            # then both have it, or say that they can't know yet
            async with asyncio.timeout(60):
                for client in (other, one):
                    while (found := await client.get(said.headers["location"])).status_code == 503:
                        pass
                    assert found.status_code == 200, found.text
