"""Whatever is sent to a console is answered with a problem that names the fault, never with 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from console_calls import client_of
from console_process import ConsoleProcess
from topics import create_topics

HOSTILE: Final = (
    "",
    "\x00",
    "\r\nSet-Cookie: a=b",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}",
    "' OR 1=1 --",
    "../../../etc/passwd",
    "a/b?c#d%2F%00",
    "~0~1",
    "\u202e\u0000\ufffe\uffff",
    "\U0001d56c" * 499,
    "é" * 501,
    "9" * 400,
    "\ud7ff\ue000",
    "null",
    "[" * 100,
)


@pytest.fixture(scope="module")
def console(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    asyncio.run(create_topics(kafka, "hostile.", events=("user.signed_up",)))
    with ConsoleProcess(
        kafka, "hostile.", "console_handlers", tmp_path_factory.mktemp("hostile")
    ) as console:
        yield console


@pytest.fixture
async def client(console: ConsoleProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(console) as client:
        yield client


def is_answered(said: httpx.Response) -> None:
    """It is a success, or a problem that says what is wrong; and nothing that runs."""
    assert said.status_code < 500, said.text
    if said.status_code >= 400:
        assert said.headers["content-type"] == "application/problem+json", said.text
        problem = said.json()
        assert problem["status"] == said.status_code
        assert problem["detail"]
        assert problem["requestId"] == said.headers["x-request-id"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_text_in_every_field(client: httpx.AsyncClient, text: str) -> None:
    fields: list[dict[str, Any]] = [
        {"name": text},
        {"name": text, "queue": "bulk", "payload": {text or "a": text}, "key": text or None},
        {"name": "charge", "payload": {"account": text}},
        {"name": "charge", "payload": {text: 1}},
        {"name": "charge", "id": text, "payload": {"account": 1}},
        {"name": "charge", "payload": {"account": 1}, "queue": text},
        {"name": "charge", "payload": {"account": 1}, "key": text},
        {"name": "charge", "payload": {"account": 1}, "delay": text},
        {"name": "charge", "payload": {"account": 1}, "run_at": text},
        {"name": "charge", "payload": {"account": 1}, "options": {"timeout": text}},
        {"name": "charge", "payload": {"account": 1}, "options": {"backoff": {"base": text}}},
        {"name": "login", "payload": {"user": text, "password": text, "cards": [text]}},
        {text: text},
    ]
    for body in fields:
        said = await client.post("/jobs", json=body)
        is_answered(said)
        if said.status_code == 202:
            found = await client.get(said.headers["location"])
            assert found.status_code in (200, 409), found.text
            id = said.json()["jobId"]
            if found.status_code == 200:
                assert found.json()["data"]["id"] == id
    for body in fields:
        is_answered(await client.post("/jobs/batch", json={"jobs": [body, {"name": "charge"}]}))
    for name in ("queue", "name", "key", "error", "text", "parent", "state", "since", "cursor"):
        is_answered(await client.get("/jobs", params={name: text}))
    for name in ("queue", "job", "key", "error", "text", "since", "until", "by", "cursor"):
        is_answered(await client.get("/dead-letters", params={name: text}))
    for path in ("/jobs/{}", "/jobs/{}/why", "/actions/{}", "/schedules/{}", "/cron/{}"):
        is_answered(await client.get(path.format(_quoted(text))))
        is_answered(await client.get(path.format(_quoted(text)), params={"name": text}))
    is_answered(await client.get("/jobs/x", params={"wait": text}))
    for path in ("/jobs/{}/cancel", "/jobs/{}/replay", "/queues/{}/pause", "/schedules/{}/run"):
        is_answered(await client.post(path.format(_quoted(text)), json={"reason": text}))
    letters = {"job": text, "text": text, "since": text, "rate": text, "dry_run": True}
    is_answered(await client.post("/dead-letters/replay", json=letters))
    event = {"specversion": "1.0", "id": text, "source": text, "type": text, "data": text}
    structured = {"content-type": "application/cloudevents+json"}
    for name in (*event, "time", "datacontenttype", "partitionkey", "data_base64", "x"):
        good = {"specversion": "1.0", "id": "1", "source": "/", "type": "user.signed_up"}
        one = {**good, "data": {"user_id": 1}, name: text}
        if name == "data_base64":
            del one["data"]
        is_answered(await client.post("/events", content=json.dumps(one), headers=structured))


def _quoted(text: str) -> str:
    return quote(text, safe="") or "%00"


@pytest.mark.parametrize(
    ("body", "status", "names"),
    [
        (b"", 422, "body"),
        (b"{", 400, "JSON"),
        (b'{"name": "a\xff"}', 400, "JSON"),
        (b'{"name": NaN}', 400, "JSON"),
        (b'{"name": "\\ud800"}', 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"),
        (b'{"name": "charge", "payload": {"account": ' + b"9" * 50 + b"}}", 422, "payload"),
        (b'{"name": "charge", "payload": {"account": 1e999}}', 422, "payload"),
        (b'{"name": "charge", "payload": {"account": 1, "more": 1}}', 422, "more"),
        (b'{"name": "charge", "payload": [1]}', 422, "payload"),
        (b'{"name": "charge", "surprise": 1}', 422, "surprise"),
        (b'{"name": 1}', 422, "name"),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b'{"name": "nobody"}', 422, "queue"),
        (b'{"name": "console_handlers.welcome"}', 422, "user.signed_up"),
        (b'{"name": "charge", "payload": {"account": 1}, "options": {"attempts": 0}}', 422, "at"),
        (
            b'{"name": "charge", "payload": {"account": 1}, "delay": "1s", '
            b'"run_at": "2030-01-01T00:00:00Z"}',
            422,
            "delay",
        ),
    ],
)
async def test_a_body_that_does_not_fit_is_told_what_is_wrong(
    client: httpx.AsyncClient, body: bytes, status: int, names: str
) -> None:
    said = await client.post("/jobs", content=body, headers={"content-type": "application/json"})
    is_answered(said)
    assert said.status_code == status, said.text
    assert names in said.text


async def test_other_types_and_methods_are_refused(client: httpx.AsyncClient) -> None:
    said = await client.post("/jobs", content="name=charge")
    assert said.status_code == 415
    is_answered(said)
    said = await client.request("PUT", "/jobs", content="x")
    assert (said.status_code, "POST" in said.headers["allow"]) == (405, True)
    is_answered(said)


async def _raw(console: ConsoleProcess, head: str, *parts: bytes) -> bytes:
    """What is answered to bytes, part by part; who answers early may hang up."""
    host, _, port = console.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    heard = bytearray()

    async def hear() -> None:
        with suppress(ConnectionError):
            while part := await reader.read(65_536):
                heard.extend(part)

    hearing = asyncio.create_task(hear())
    with suppress(ConnectionError):
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
    await asyncio.wait_for(hearing, 60)
    writer.close()
    return bytes(heard)


HEAD: Final = "POST /jobs HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"


async def test_a_huge_body_is_refused_by_its_length_and_while_it_is_read(
    console: ConsoleProcess,
) -> None:
    said = await _raw(console, f"{HEAD}Content-Length: 99999999999\n")
    assert said.startswith(b"HTTP/1.1 413"), said[:200]
    # No more than it reads: what is left unread when it hangs up may cost us its answer.
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    said = await _raw(console, f"{HEAD}Transfer-Encoding: chunked\n", *[chunk] * 17)
    assert said.startswith(b"HTTP/1.1 413"), said[:200]
    assert b"application/problem+json" in said


async def test_the_same_key_again_is_the_same_job(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": '"once"'}
    job = {"name": "charge", "payload": {"account": 5}}
    said = [await client.post("/jobs", json=job, headers=headers) for _ in range(2)]
    assert [each.json()["jobId"] for each in said] == ["once", "once"]
    assert (await client.get("/jobs/once")).status_code == 200
    clash = await client.post("/jobs", json={**job, "id": "other"}, headers=headers)
    assert (clash.status_code, clash.json()["field"]) == (422, "id")
    # under another name it is another job, and who asks has to say which
    other = {"name": "elsewhere", "queue": "bulk", "id": "once"}
    assert (await client.post("/jobs", json=other)).status_code == 202
    both = await client.get("/jobs/once")
    if both.status_code == 409:
        assert {each["name"] for each in both.json()["candidates"]} == {"charge", "elsewhere"}
    one = await client.get("/jobs/once", params={"name": "elsewhere"})
    assert one.json()["data"]["name"] == "elsewhere"
    assert (await client.get("/jobs/once")).status_code == 409
