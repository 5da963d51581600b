"""Handlers that print; one fails when it is asked to, one takes long."""

from __future__ import annotations

import asyncio

from streams import JobPayload, Retry, job


class Say(JobPayload, name="say"):
    words: str
    fails: bool = False


@job(retry=Retry(attempts=1))
async def say(payload: Say) -> str:
    print("it", "says", payload.words)
    if payload.fails:
        raise ValueError(f"{len(payload.words)} characters are too many")
    return payload.words


class Nap(JobPayload, name="nap"):
    seconds: int


@job
async def nap(payload: Nap) -> None:
    print("napping")
    await asyncio.sleep(payload.seconds)
