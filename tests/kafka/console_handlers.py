"""Handlers for the tests of the console: what succeeds, fails, waits, and keeps secrets."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, SecretStr

from streams import Cron, Event, JobContext, JobPayload, PermanentError, Tick, job
from streams.contracts import Sensitive


class Charge(JobPayload, name="charge", key="account"):
    account: int
    currency: Literal["EUR", "USD"] = "EUR"


class Nap(JobPayload, name="nap", queue="bulk"):
    steps: int = 2


class Card(BaseModel):
    number: Sensitive[str]
    holder: str = ""


class Login(JobPayload, name="login"):
    user: str
    password: SecretStr
    cards: tuple[Card, ...] = ()
    fails: bool = False


class SignedUp(Event, type="user.signed_up", key="user_id"):
    user_id: int


def _check_card(account: int) -> None:
    if account < 0 and not Path(os.environ["MENDED"]).exists():
        raise PermanentError("the card is blocked")


@job
async def charge(payload: Charge) -> dict[str, int]:
    _check_card(payload.account)
    return {"charged": payload.account}


@job
async def nap(payload: Nap, ctx: JobContext) -> str:
    for step in range(payload.steps):
        await ctx.progress(step + 1, payload.steps + 1)
        ctx.log.info("step %d", step)
    if payload.steps > 10:
        await asyncio.Event().wait()
    return "rested"


@job
async def login(payload: Login, ctx: JobContext) -> int:
    secret = payload.password.get_secret_value()
    ctx.log.info(f"signing in with {secret}")
    if payload.fails:
        raise PermanentError(f"wrong password {secret}")
    return len(secret)


@job(cron=Cron("0 7 * * *"))
async def report(tick: Tick) -> None:
    pass


@job(queue="critical")
async def welcome(event: SignedUp) -> int:
    return event.user_id
