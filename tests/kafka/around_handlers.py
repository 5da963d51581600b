"""Handlers with a resource, middleware and a listener, all of which say what they do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import effects

from streams import JobContext, JobPayload, LifecycleEvent, Middleware, Resource, Retry, job, on


def say(what: str) -> None:
    effects.write(f"{what} {os.getpid()}")


async def open_database() -> AsyncIterator[str]:
    say("open database")
    yield "database"
    say("close database")


async def open_cache(database: str = Resource(open_database)) -> AsyncIterator[str]:
    say("open cache")
    yield f"cache on {database}"
    say("close cache")


class Watched(JobPayload, name="watched", key="account"):
    account: int
    n: int
    fails: int = 0


class Broken(Middleware):
    async def before(self, ctx: JobContext, payload: object) -> None:
        raise RuntimeError("middleware fails")


broken = Broken()


@job(retry=Retry(attempts=2))
async def watched(payload: Watched, ctx: JobContext, cache: str = Resource(open_cache)) -> str:
    if ctx.attempt <= payload.fails:
        raise OSError("not now")
    say(f"ran {payload.n}")
    return cache


@on("completed", "failed")
async def hear(event: LifecycleEvent) -> None:
    say(f"heard {event.happening} {event.id}")
