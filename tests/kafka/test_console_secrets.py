"""What is sensitive in a payload is in no answer, page, log or metric, and reaches its handler."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from cli_process import Cli
from console_calls import client_of, until
from console_handlers import Card, Login
from console_process import ConsoleProcess
from console_shop import HANDLERS, Shop, open_shop
from pydantic import SecretStr

from streams.client import JobClient

PASSWORD = "hunter2-is-taken"
NUMBER = "4012888888881881"


@pytest.fixture(scope="module")
def shop(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(kafka, tmp_path_factory.mktemp("secrets")) as shop:
        yield shop


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(shop.console) as client:
        yield client


def login(**more: object) -> dict[str, object]:
    payload = {"user": "ada", "password": PASSWORD, "cards": [{"number": NUMBER}], **more}
    return {"name": "login", "payload": payload}


async def test_a_secret_reaches_its_handler_and_nobody_else(
    client: httpx.AsyncClient, shop: Shop
) -> None:
    # given one that completes, and one that fails and says its secret in its error
    good = await client.post("/jobs", json=login())
    bad = await client.post("/jobs", json=login(fails=True))
    # when it has run, then it had the secret
    data = await until(client, good.headers["location"], "completed")
    assert data["result"] == len(PASSWORD)
    assert data["payload"] == {
        "user": "ada",
        "password": "***",
        "cards": [{"number": "***", "holder": ""}],
        "fails": False,
    }
    assert data["log"][0]["text"] == "signing in with ***"
    dead = await until(client, bad.headers["location"], "dead")
    assert dead["failedReason"].endswith("wrong password ***")
    # and no answer has it
    told = [
        f"{bad.headers['location']}/why",
        bad.headers["location"],
        f"{bad.headers['location']}/events",
        "/dead-letters?by=error",
        "/dead-letters",
        "/jobs",
        "/metrics",
        "/actions",
        "/",
        "/ui/jobs",
        "/ui/dead-letters",
        f"/ui/jobs/default/login/{dead['id']}",
    ]
    for path in told:
        said = await client.get(path)
        assert said.status_code == 200, path
        assert PASSWORD not in said.text, path
        assert NUMBER not in said.text, path
    # nor have the logs
    for log in (shop.console.log, shop.worker.log):
        assert PASSWORD not in log
        assert NUMBER not in log


async def test_the_command_line_masks_as_well(client: httpx.AsyncClient, shop: Shop) -> None:
    bad = (await client.post("/jobs", json=login(fails=True))).json()["jobId"]
    await until(client, f"/jobs/{bad}", "dead")
    cli = Cli(shop.kafka, shop.prefix, HANDLERS)
    shown = await asyncio.gather(
        cli.run("jobs", "show", bad),
        cli.run("jobs", "show", bad, "--json"),
        cli.run("jobs", "why", bad),
        cli.run("dlq", "ls"),
        cli.run("dlq", "show", bad),
        cli.run("dlq", "show", bad, "--json"),
    )
    for said in shown:
        assert said.code == 0, said.errors
        assert PASSWORD not in said.output, said.output
        assert NUMBER not in said.output, said.output


@pytest.mark.parametrize(
    "payload",
    [
        {"password": ["hunter2-is-taken"]},
        {"password": {"a": PASSWORD}},
        {"user": [PASSWORD]},
        {"cards": PASSWORD},
        {"unknown": PASSWORD},
    ],
)
async def test_what_does_not_fit_is_told_without_what_was_sent(
    client: httpx.AsyncClient, payload: dict[str, object]
) -> None:
    said = await client.post("/jobs", json=login(**payload))
    assert said.status_code == 422, said.text
    assert said.json()["field"].startswith("payload.")
    assert PASSWORD not in said.text
    said = await client.post("/jobs/batch", json={"jobs": [login(), login(**payload)]})
    (error,) = said.json()["errors"]
    assert (error["index"], said.status_code) == (1, 422)
    assert PASSWORD not in said.text


async def test_a_client_sends_secrets_as_what_they_are(
    client: httpx.AsyncClient, shop: Shop
) -> None:
    async with JobClient(shop.kafka, source="test", prefix=shop.prefix) as jobs:
        sent = Login(
            user="ada", password=SecretStr(PASSWORD), cards=(Card(number=NUMBER, holder="A"),)
        )
        handle = await jobs.enqueue(sent)
        assert await handle.result("60s") == len(PASSWORD)


async def test_without_a_contract_names_decide(shop: Shop, tmp_path: object) -> None:
    payload = {"card": {"apiKey": "k-123456", "Authorization": "Bearer z"}, "user": "ada"}
    import pathlib

    with ConsoleProcess(shop.kafka, shop.prefix, "", pathlib.Path(str(tmp_path))) as console:
        async with client_of(console) as other:
            job = {"name": "elsewhere", "queue": "bulk", "payload": payload}
            said = await other.post("/jobs", json=job)
            assert said.status_code == 202, said.text
            data = (await other.get(said.headers["location"])).json()["data"]
    assert data["payload"] == {"card": {"apiKey": "***", "Authorization": "***"}, "user": "ada"}
    assert data["payloadIsMasked"] == "by names"
    assert "k-123456" not in json.dumps(data)
