"""Bodies of requests within bounds of size and time."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from streams.console.access.bodies import BODY_MAX, MANY_MAX, Bodies
from streams.console.paths import Message, Receive, Scope, Send


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that reads a body whole."""
    size, is_more = 0, True
    while is_more:
        message = await receive()
        size += len(message["body"])
        is_more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def answered(
    parts: list[bytes], *, path: str = "/jobs", headers: Any = (), ends: bool = True
) -> tuple[int, bytes]:
    waiting = [
        {"type": "http.request", "body": part, "more_body": not ends or number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]
    said: list[Message] = []

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "path": path, "headers": list(headers)}
    await Bodies(reads_all, read_s=0.05)(scope, receive, send)
    return said[0]["status"], said[1]["body"]


async def test_what_fits_is_passed_on() -> None:
    assert await answered([b"x" * BODY_MAX]) == (200, str(BODY_MAX).encode())
    assert await answered([b"ab", b"cd"]) == (200, b"4")


@pytest.mark.parametrize(
    ("path", "limit"), [("/jobs", BODY_MAX), ("/jobs/batch", MANY_MAX), ("/events", MANY_MAX)]
)
async def test_what_is_larger_is_refused_while_it_is_read(path: str, limit: int) -> None:
    status, body = await answered([b"x" * limit, b"x"], path=path, ends=False)
    assert status == 413
    assert str(limit) in orjson.loads(body)["detail"]


async def test_what_says_that_it_is_larger_is_not_read() -> None:
    status, _ = await answered([], headers=[(b"content-length", b"99999999999")])
    assert status == 413


async def test_what_does_not_come_is_not_waited_for_without_end() -> None:
    status, body = await answered([b'{"name":'], ends=False)
    assert status == 408
    assert orjson.loads(body)["title"] == "Request Timeout"
