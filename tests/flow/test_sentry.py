"""The Sentry middleware, with Sentry's own client and a transport that keeps what is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from pydantic import SecretStr
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from streams import JobContext, JobPayload, Retry, job
from streams.contrib.sentry import SentryMiddleware
from streams.testing.sandbox import Sandbox

CARD = "-".join(["4111", "1111"])  # not as it is in the source, which Sentry is given


class Kept(Transport):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.events += [event for item in envelope.items if (event := item.get_event())]


@pytest.fixture
def sent() -> Iterator[list[Any]]:
    transport = Kept()
    sentry_sdk.init("http://key@127.0.0.1/1", transport=transport, default_integrations=False)
    yield transport.events
    sentry_sdk.init()


class Charge(JobPayload, name="charge"):
    card: str
    fails: int


@job(retry=Retry(attempts=2))
async def charge(payload: Charge, ctx: JobContext) -> None:
    if ctx.attempt <= payload.fails:
        raise OSError("the bank is closed")


async def test_what_a_job_dies_of_is_sent_once_without_its_payload(sent: list[Any]):
    async with Sandbox(charge, middleware=[SentryMiddleware()]) as box:
        await box.enqueue(Charge(card=CARD, fails=1), id="recovers")
        await box.enqueue(Charge(card=CARD, fails=2), id="dies")
        await box.advance("1h")
    (event,) = sent
    assert event["transaction"] == "charge"
    assert event["tags"] == {
        "job.name": "charge",
        "job.id": "dies",
        "job.attempt": 2,
        "job.outcome": "dead",
    }
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("OSError", "the bank is closed")
    assert raised["stacktrace"]["frames"][-1]["function"] == "charge"
    assert CARD not in json.dumps(event, default=str)


async def test_with_retries_each_failure_is_sent(sent: list[Any]):
    async with Sandbox(charge, middleware=[SentryMiddleware(retries=True)]) as box:
        await box.enqueue(Charge(card=CARD, fails=2), id="dies")
        await box.advance("1h")
    assert [event["tags"]["job.outcome"] for event in sent] == ["retrying", "dead"]


async def test_a_timeout_is_sent_too(sent: list[Any]):
    began = asyncio.Event()

    @job(retry=Retry(attempts=1), timeout="1s")
    async def endless(payload: Charge) -> None:
        began.set()
        await asyncio.Event().wait()

    async with Sandbox(endless, middleware=[SentryMiddleware()]) as box:
        enqueuing = asyncio.create_task(box.enqueue(Charge(card=CARD, fails=0)))
        await began.wait()
        box.cluster.clock.set(box.cluster.clock.now() + 1_000)
        await enqueuing
    (event,) = sent
    (raised,) = event["exception"]["values"]
    assert raised["type"] == "TimeoutError" and "timeout of 1000 ms" in raised["value"]


class SignIn(JobPayload, name="sign_in"):
    password: SecretStr


@job(retry=Retry(attempts=1))
async def sign_in(payload: SignIn) -> None:
    raise OSError(f"not {payload.password.get_secret_value()}")


async def test_what_is_sensitive_is_not_sent(sent: list[Any]):
    async with Sandbox(sign_in, middleware=[SentryMiddleware()]) as box:
        await box.enqueue(SignIn(password=SecretStr(CARD)))
        await box.advance("1m")
    (event,) = sent
    assert event["exception"]["values"][-1]["value"] == "not ***"
    assert CARD not in json.dumps(event)
