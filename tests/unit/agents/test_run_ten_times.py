"""Every handler of the application: run ten times, it leaves what it leaves when it runs once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from agents.accounts import database
from schemas.accounts import GrantCredit, ImportCredits
from schemas.users import UserSignedUp
from streams import JobContext, SyncJobContext
from streams.contracts import Event, JobPayload
from streams.dev.mail_sink import MailSink
from streams.jobs.definition import JobDefinition
from streams.jobs.discovery import load_handlers
from streams.worker.plain_run import drive

HANDLERS = {definition.name: definition for definition in load_handlers(["agents"])}


@dataclass(frozen=True)
class Case:
    """What a handler is given, and how what it left is seen; `world` is its mail server."""

    payload: Event | JobPayload
    effects: Callable[[MailSink], Any]


def sent_mail(world: MailSink) -> Any:
    """A receiving server keeps one message of each Message-ID."""
    return {
        (address, message["Message-ID"], message.get_payload())
        for address, messages in world.messages.items()
        for message in messages
    }


def all_accounts(world: MailSink) -> Any:
    with database().connect() as db:
        return db.execute(text("SELECT id, cents FROM accounts")).fetchall()


CASES = {
    "agents.email.send_welcome_email": Case(
        UserSignedUp(user_id=1, email="ada@example.org"), sent_mail
    ),
    "accounts.grant_credit": Case(GrantCredit(account_id=7, cents=500), all_accounts),
    "accounts.import_credits": Case(
        ImportCredits(lines="\n".join(f"{n % 7},{n + 1}" for n in range(250))), all_accounts
    ),
}


@pytest.fixture
async def world() -> AsyncIterator[MailSink]:
    async with MailSink() as sink:
        yield sink


@pytest.fixture(params=["sqlite", "postgres"])
def accounts(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'accounts.db'}"
    uri: str = request.getfixturevalue("postgres")
    return uri.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.mark.parametrize("name", sorted(HANDLERS))
async def test_running_it_ten_times_leaves_what_running_it_once_leaves(
    name: str, world: MailSink, accounts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name in CASES, f"write a case for {name}: what it is given, and how its effects are seen"
    monkeypatch.setenv("SMTP_HOST", world.host)
    monkeypatch.setenv("SMTP_PORT", str(world.port))
    monkeypatch.setenv("ACCOUNTS_DATABASE", accounts)
    case, handler = CASES[name], HANDLERS[name]
    first = await run(handler, case.payload, attempt=1)
    once = case.effects(world)
    assert once
    for attempt in range(2, 11):
        assert await run(handler, case.payload, attempt=attempt) == first
    assert case.effects(world) == once
    # and another job of the same content is another job
    await run(handler, case.payload, attempt=1, id="another")
    assert case.effects(world) != once


async def run(
    handler: JobDefinition, payload: Event | JobPayload, *, attempt: int, id: str = "one"
) -> Any:
    is_async = inspect.iscoroutinefunction(handler.handler)
    kind = JobContext if is_async else partial(SyncJobContext, wait=drive)
    context = kind(
        id=id,
        name=handler.name,
        attempt=attempt,
        max_attempts=10,
        key=payload.ordering_key(),
        enqueued_at=1,
        started=1,
        deadline=1,
    )
    if is_async:
        return await handler.call(payload, context)
    return await asyncio.to_thread(handler.call, payload, context)
