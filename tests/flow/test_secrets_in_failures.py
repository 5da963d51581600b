"""What is sensitive in a payload is in no failure, log line or call that its worker writes down."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import SecretStr

from streams import (
    Batch,
    Discard,
    ItemsFailed,
    JobContext,
    JobPayload,
    Middleware,
    PermanentError,
    Retry,
    job,
)
from streams.client_request import event_envelope
from streams.contracts import Event
from streams.jobs.outcome import MESSAGE_KEPT, TRACE_KEPT
from streams.jobs.registry import Registry
from streams.revealing import wire_json
from streams.testing import Sandbox
from streams.wire.envelope import Record
from streams.wire.headers import DEAD_MESSAGE
from streams.wire.state import LedgerRecord, OpenEntry
from streams.worker import fan_out as fan_outs
from streams.worker.event_jobs import job_of

SECRET = "-".join(["hunter", "2", "is", "taken"])  # not as it is in a line of a trace


class Login(JobPayload, name="login"):
    password: SecretStr
    before: int
    after: int = 0
    discards: bool = False


@job(retry=Retry(attempts=1))
async def login(payload: Login) -> None:
    text = "." * payload.before + payload.password.get_secret_value() + "." * payload.after
    raise Discard(text) if payload.discards else PermanentError(text)


class Call(JobPayload, name="call"):
    headers: dict[str, Any]


@job(retry=Retry(attempts=1))
async def call(payload: Call, ctx: JobContext) -> None:
    ctx.log.info("calling with %s", payload.headers)
    raise PermanentError(f"refused: {payload.headers}")


class Row(JobPayload, name="row"):
    token: SecretStr
    fails: bool = False


@job(batch=Batch(2, wait="1s"), retry=Retry(attempts=1))
async def rows(payloads: list[Row]) -> None:
    said = " ".join(each.token.get_secret_value() for each in payloads)
    if any(each.fails for each in payloads):
        raise ItemsFailed({0: ValueError(f"not {said}")})
    raise ValueError(f"none of {said}")


async def dead(box: Sandbox) -> list[OpenEntry]:
    await box.advance("1m")
    return [each for each in box.jobs(state="dead") if isinstance(each, OpenEntry)]


def message_of(entry: OpenEntry) -> str:
    assert entry.failure is not None
    return entry.failure.message


@pytest.mark.parametrize("before", [MESSAGE_KEPT - 8, MESSAGE_KEPT - 3, MESSAGE_KEPT - 18, 0])
async def test_a_secret_is_not_cut_in_its_middle(before: int):
    async with Sandbox(login) as box:
        await box.enqueue(Login(password=SecretStr(SECRET), before=before))
        (entry,) = await dead(box)
    assert message_of(entry).rstrip("*") == "." * before


async def test_the_trace_that_is_kept_does_not_begin_within_a_secret():
    async with Sandbox(login) as box:
        sent = Login(password=SecretStr(SECRET), before=0, after=TRACE_KEPT - len(SECRET) + 5)
        await box.enqueue(sent)
        (entry,) = await dead(box)
    assert entry.failure is not None
    assert "taken" not in entry.failure.trace


async def test_the_reason_of_a_discard_is_not_cut_within_a_secret():
    async with Sandbox(login) as box:
        sent = Login(password=SecretStr(SECRET), before=MESSAGE_KEPT - 8, discards=True)
        await box.enqueue(sent)
        await box.advance("1m")
        (record,) = box.jobs(state="discarded")
    assert isinstance(record, LedgerRecord)
    assert "hunter" not in record.reason


async def test_what_is_called_like_a_secret_is_one_where_a_contract_leaves_it_open():
    async with Sandbox(call) as box:
        await box.enqueue(Call(headers={"Authorization": "Bearer z-123", "a": "shown"}))
        (entry,) = await dead(box)
    assert message_of(entry) == "refused: {'Authorization': '***', 'a': 'shown'}"
    assert entry.failure is not None
    assert "z-123" not in entry.failure.trace
    assert entry.notes is not None
    assert "z-123" not in entry.notes.log[0].text
    assert all("z-123" not in str(event) for event in box.events)


@pytest.mark.parametrize("fails", [False, True])
async def test_the_error_of_a_call_tells_no_secret_of_any_of_its_jobs(fails: bool):
    async with Sandbox(rows) as box:
        await box.enqueue(Row(token=SecretStr("first-token"), fails=fails))
        await box.enqueue(Row(token=SecretStr("second-token")))
        found = await dead(box)
    assert len(found) == 1 if fails else 2
    for entry in found:
        assert message_of(entry).endswith("*** ***")


class Broken(Middleware):
    async def after(
        self, ctx: JobContext, payload: Event | JobPayload, error: BaseException | None
    ) -> None:
        raise RuntimeError("its own mistake")


async def test_what_is_logged_of_a_broken_middleware_tells_no_secret(
    caplog: pytest.LogCaptureFixture,
):
    with caplog.at_level(logging.ERROR, "streams.worker.around"):
        async with Sandbox(login, middleware=[Broken()]) as box:
            await box.enqueue(Login(password=SecretStr(SECRET), before=0))
            await dead(box)
    assert "its own mistake" in caplog.text
    assert SECRET not in caplog.text


class Paid(Event, type="paid"):
    card: SecretStr

    def ordering_key(self) -> str | None:
        raise ValueError(f"no key in {self.card.get_secret_value()}")


@job
async def on_paid(event: Paid) -> None:
    """Nothing: what matters is the key of its job."""


def test_a_key_that_can_not_be_computed_is_told_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = event_envelope(
        type="paid",
        source="/shop",
        payload=wire_json(Paid(card=SecretStr(SECRET))),
        key=None,
        id="e1",
        time=None,
        now=0,
        metadata={},
    )
    (definition,) = Registry.build([on_paid.__job_definition__], ["default"]).subscribers("paid")
    assert job_of(event, definition).key is None
    (told,) = [text for text in caplog.messages if "can't be computed" in text]
    assert "ValueError: no key in ***" in told
    assert SECRET not in caplog.text


class Refunded(Event, type="refunded"):
    card: SecretStr


@job
async def on_refunded(event: Refunded) -> None:
    """Nothing: what matters is how it is passed on."""


async def test_an_event_that_can_not_be_passed_on_is_told_without_secrets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker that fails at each event by a mistake of its own, and says with which
    def fail(record: Record) -> None:
        raise RuntimeError(f"what is {record.value!r}?")

    monkeypatch.setattr(fan_outs, "relayed", fail)
    async with Sandbox(on_refunded) as box:
        # when one with a secret comes
        await box.emit(Refunded(card=SecretStr(SECRET)))
        await box.cluster.settle()
        # then neither its letter nor the log tells that
        (letter,) = box.cluster.log.records(box.cluster.names.dead)
        told = dict(letter.headers)[DEAD_MESSAGE] or b""
        assert b"RuntimeError: what is" in told
        assert SECRET.encode() not in told
        assert SECRET not in caplog.text
