"""The mailer against a real SMTP server: what arrives, and which refusals are final."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiosmtplib import SMTPException
from pydantic import EmailStr

from agents.email import Mailer, message_id, send_welcome_email
from schemas.users import UserSignedUp
from streams import JobContext, PermanentError
from streams.dev.mail_sink import MailSink

ADDRESS: EmailStr = "ada@example.org"


@pytest.fixture
async def sink() -> AsyncIterator[MailSink]:
    async with MailSink() as sink:
        yield sink


async def send(sink: MailSink) -> str:
    mailer = Mailer(host=sink.host, port=sink.port)
    return await mailer.send(ADDRESS, subject="s", text="t\n", idempotency_key="k")


async def test_a_message_arrives(sink: MailSink) -> None:
    sent = await send(sink)
    (message,) = await asyncio.wait_for(sink.received(ADDRESS), 5)
    assert (message["To"], message["Message-ID"]) == (ADDRESS, sent)
    assert sent == message_id("k") != message_id("l")


async def test_451_is_worth_another_try(sink: MailSink) -> None:
    sink.answer_once(ADDRESS, 451)
    with pytest.raises(SMTPException):
        await send(sink)
    await send(sink)
    assert len(sink.messages[ADDRESS]) == 1


async def test_550_is_final_until_mended(sink: MailSink) -> None:
    sink.refuse(ADDRESS, 550)
    for _ in range(2):
        with pytest.raises(PermanentError, match=r"ada@example.org: 550 No such mailbox"):
            await send(sink)
    sink.mend(ADDRESS)
    await send(sink)
    assert len(sink.messages[ADDRESS]) == 1


async def test_a_server_that_is_away_is_worth_another_try(sink: MailSink) -> None:
    await sink.stop()
    with pytest.raises(SMTPException):
        await send(sink)


async def test_the_handler_is_a_function(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_HOST", sink.host)
    monkeypatch.setenv("SMTP_PORT", str(sink.port))
    context = JobContext(
        id="1", name="n", attempt=1, max_attempts=5, key=None, enqueued_at=0, started=0, deadline=0
    )
    sent = await send_welcome_email(UserSignedUp(user_id=1, email=ADDRESS), context)
    (message,) = await asyncio.wait_for(sink.received(ADDRESS), 5)
    assert (message["Subject"], message["Message-ID"]) == ("Welcome", sent)
    assert sent == message_id(context.idempotency_key)
