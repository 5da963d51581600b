"""Calls of schedules over HTTP: who is let in, and what each call is answered."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest

from streams.console.cron import RETRY_AFTER_S, cron_app
from streams.cron.schedule import Every
from streams.errors import BrokerUnavailable
from streams.schedules.book import Known, Origin
from streams.wire.schedules import Halt
from streams.worker.schedules import Planned

SECRET = "ein Schlüssel ohne Gleichen".encode()
VERCEL = [(b"host", b"jobs.example.org"), (b"user-agent", b"vercel-cron/1.0")]
RIGHT = b"Bearer " + SECRET


def known(name: str, origin: Origin = "code", halt: Halt | None = None) -> Known:
    planned = Planned(
        name=name, schedule=Every("1h"), job=name, queue="default", key=None, payload=None
    )
    return Known(
        name=name,
        origin=origin,
        queue="default",
        planned=None if origin in ("retired", "elsewhere") else planned,
        ticked=None,
        halt=halt,
    )


class FakeCalls:
    """Knows some schedules, unless Kafka is down."""

    def __init__(self) -> None:
        self.found = {
            "report": known("report"),
            "gone": known("gone", "retired"),
            "theirs": known("theirs", "elsewhere"),
            "quiet": known("quiet", halt=Halt(at=1, is_paused=True, reason="a move")),
        }
        self.is_down = False
        self.is_closed = False
        self.enqueued: list[str] = []

    async def find(self, name: str) -> Known | None:
        if self.is_down:
            raise BrokerUnavailable("no answer")
        return self.found.get(name)

    async def enqueue(self, planned: Planned, now: int) -> str:
        self.enqueued.append(planned.name)
        return f"{planned.name}:1"

    async def close(self) -> None:
        self.is_closed = True


class Said:
    """An answer."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        start, body = messages
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = orjson.loads(body["body"])
        assert int(self.headers["content-length"]) == len(body["body"])


async def ask(
    calls: FakeCalls,
    path: str = "/cron/report",
    *,
    method: str = "GET",
    authorization: bytes | None = RIGHT,
    secret: bytes = SECRET,
    more: list[tuple[bytes, bytes]] | None = None,
    **scope: Any,
) -> Said:
    headers = VERCEL + (more or [])
    if authorization is not None:
        headers = [*headers, (b"authorization", authorization)]
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read of a call")

    async def send(message: Any) -> None:
        messages.append(message)

    app = cron_app(calls, secret)
    await app(
        {"type": "http", "method": method, "path": path, "headers": headers, **scope}, receive, send
    )
    return Said(messages)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_call_enqueues_a_job(method: str):
    calls = FakeCalls()
    said = await ask(calls, method=method)
    assert (said.status, said.body) == (202, {"jobId": "report:1"})
    assert said.headers["content-type"] == "application/json"
    assert said.headers["cache-control"] == "no-store"
    assert calls.enqueued == ["report"]


async def test_the_scheme_may_be_written_in_any_case():
    assert (await ask(FakeCalls(), authorization=b"bearer  " + SECRET)).status == 202


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        SECRET,
        b"Basic " + SECRET,
        RIGHT + b"x",
        RIGHT[:-1],
        RIGHT.decode().encode("latin-1"),
        b"Bearer \xff\xfe",
    ],
)
async def test_whoever_has_not_the_secret_learns_nothing(authorization: bytes | None):
    calls = FakeCalls()
    for path, method in (("/cron/report", "GET"), ("/cron/nobody", "GET"), ("/", "PUT")):
        said = await ask(calls, path, method=method, authorization=authorization)
        assert said.status == 401
        assert said.headers["www-authenticate"] == "Bearer"
        assert list(said.body) == ["error"]
    assert calls.enqueued == []


async def test_two_headers_are_none():
    said = await ask(FakeCalls(), more=[(b"Authorization", RIGHT)])
    assert said.status == 401


@pytest.mark.parametrize("authorization", [None, b"Bearer ", b"Bearer", RIGHT])
async def test_without_a_secret_nobody_is_let_in(
    authorization: bytes | None, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        said = await ask(FakeCalls(), authorization=authorization, secret=b"")
    assert said.status == 401
    assert "no CRON_SECRET is set" in caplog.text


@pytest.mark.parametrize(
    "path", ["/cron/nobody", "/cron/gone", "/cron/", "/cron", "/", "/cron/a/b"]
)
async def test_what_is_unknown_or_retired_is_not_found(path: str):
    assert (await ask(FakeCalls(), path)).status == 404


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nobody", "there is no schedule 'nobody'"),
        ("gone", "is retired: no worker has its handler"),
        ("theirs", "is not known to this service"),
    ],
)
async def test_what_is_not_found_says_why(
    name: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = await ask(FakeCalls(), f"/cron/{name}")
    assert said.status == 404
    assert why in said.body["error"]
    assert ("add its module to STREAMS_HANDLERS" in caplog.text) is (name == "theirs")


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods(method: str):
    said = await ask(FakeCalls(), method=method)
    assert (said.status, said.headers["allow"]) == (405, "GET, POST")


async def test_a_paused_schedule_is_not_called():
    calls = FakeCalls()
    said = await ask(calls, "/cron/quiet")
    assert said.status == 409
    assert said.body == {"error": "the schedule quiet is paused: a move"}
    assert calls.enqueued == []


async def test_kafka_that_does_not_answer_is_503_and_when_to_call_again(
    caplog: pytest.LogCaptureFixture,
):
    calls = FakeCalls()
    calls.is_down = True
    with caplog.at_level(logging.DEBUG):
        said = await ask(calls, "/cron/a\nb")
    assert (said.status, said.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
    # what a caller wrote makes no lines of its own, and no secret is told
    assert r"'a\nb'" in caplog.text
    assert SECRET.decode() not in caplog.text


async def test_it_can_be_mounted():
    said = await ask(FakeCalls(), "/jobs/cron/report/", root_path="/jobs")
    assert said.status == 202


async def test_it_disconnects_at_its_end():
    calls = FakeCalls()
    told: list[str] = []
    coming = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(coming)}

    async def send(message: Any) -> None:
        told.append(message["type"])

    await cron_app(calls, SECRET)({"type": "lifespan"}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert calls.is_closed
