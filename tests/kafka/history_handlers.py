"""Handlers whose events are replayed; CHANGED says which of them have new code."""

from __future__ import annotations

import asyncio
import os

import effects

from streams import Event, JobContext, JobPayload, PermanentError, SyncJobContext, job

USERS = 10
CHANGED = os.environ.get("CHANGED", "").split()


class SignedUp(Event, type="user.signed_up", key="user_id"):
    user_id: int


class Greet(JobPayload, name="greet", key="user_id"):
    user_id: int
    how: str


@job(name="welcome")
async def welcome(user: SignedUp, ctx: JobContext) -> dict[str, object]:
    if not ctx.shadow or "hangs" in CHANGED:
        effects.write(f"welcome {user.user_id} {ctx.replay} {ctx.id}")
    if "hangs" in CHANGED and user.user_id == USERS - 1:
        effects.write("hangs")
        await asyncio.Event().wait()
    if ctx.shadow and "ends" in CHANGED and user.user_id == 4:
        os._exit(0)
    if user.user_id == 3:
        raise PermanentError("this one never works")
    if "raises" in CHANGED and user.user_id == 4:
        raise KeyError("address")
    greeting = "bye" if "greets" in CHANGED and user.user_id == 5 else "hello"
    await ctx.enqueue(Greet(user_id=user.user_id, how=greeting))
    result = -user.user_id if "result" in CHANGED and user.user_id == 6 else user.user_id
    return {"user": result, "at": ctx.started}


@job(name="measure", runs_in="process")
def measure(user: SignedUp, ctx: SyncJobContext) -> list[object]:
    print("measuring", user.user_id)
    ctx.enqueue(Greet(user_id=user.user_id, how="measured"))
    large = "x" * 100_000 if user.user_id == 7 else ""
    return [ctx.key, large]


@job(name="in_vain")
def in_vain(user: SignedUp) -> None: ...


@job
async def greet(payload: Greet) -> str:
    return payload.how
