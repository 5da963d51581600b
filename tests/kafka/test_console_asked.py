"""What was asked of a job while no worker runs is shown until one has obeyed it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from console_calls import client_of, until
from console_process import ConsoleProcess, eventually
from console_shop import HANDLERS
from topics import create_topics
from worker_process import WorkerProcess


async def asked_of(client: httpx.AsyncClient, path: str) -> list[str]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [each["what"] for each in answer.json()["data"].get("asked", [])]


async def listed(client: httpx.AsyncClient) -> dict[str, Any]:
    (job,) = (await client.get("/jobs")).json()["data"]
    return dict(job)


async def test_what_is_asked_is_shown_until_a_worker_has_obeyed_it(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    # given a job that waits, as no worker runs
    await create_topics(kafka, prefix)
    with ConsoleProcess(kafka, prefix, HANDLERS, tmp_path / "c") as console:
        async with client_of(console) as client:
            said = await client.post("/jobs", json={"name": "nap", "payload": {"steps": 0}})
            assert said.status_code == 202, said.text
            path = str(said.headers["location"])
            assert await asked_of(client, path) == []

            # when it is to be cancelled
            assert (await client.post(f"{path}/cancel")).status_code == 202

            # then that is said of it, though it waits as before
            async def is_asked() -> bool:
                return await asked_of(client, path) == ["cancel"]

            await eventually(is_asked)
            job = await listed(client)
            assert (job["state"], [each["what"] for each in job["asked"]]) == ("queued", ["cancel"])

            # until a worker has obeyed
            with WorkerProcess(kafka, prefix, HANDLERS, tmp_path / "w"):
                await until(client, path, "cancelled")

                async def is_obeyed() -> bool:
                    return await asked_of(client, path) == []

                await eventually(is_obeyed)
            assert "asked" not in await listed(client)
