"""Waiting for what becomes of a job: until it is over, or change by change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Final

from streams.console.changes import Listener
from streams.console.console import Console
from streams.console.problems import Problem
from streams.console.story import again, is_over
from streams.projection.job import Job

_LOOK_AGAIN_S: Final = 10.0  # what is over without a record is noted, and nobody is told
_BUSY_S: Final = 1.0  # until a console that could not answer is asked again


def version(job: Job) -> str:
    """What differs between any two states of a job, and is the same on every console."""
    row = job.row
    parts = (row.generation, row.run, row.state, row.seen_in, row.seen_offset, row.sent_offset)
    return "-".join(map(str, parts))


async def until_over(console: Console, job: Job, wait_s: float) -> Job:
    """The job once it is over, or as it is after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s), aclosing(changes(console, job)) as changed:
            async for each in changed:
                job = each
    return job


async def changes(console: Console, job: Job) -> AsyncGenerator[Job, None]:
    """The job as it is now, then as it is after each change, up to the last one.

    Whoever reads slowly is given what is the latest by then, and nobody what is earlier than what
    was told. Ends too if the console is to end.
    """
    told, rank = "", tuple[int, ...]()
    while not console.ending.is_set():
        with console.changes.of_job(job) as listener:
            # Read once it listens, so that nothing falls between the two.
            latest = await _as_it_is(console, job)
            while latest is not None:
                # What the listener had before it was read may be earlier than that.
                if latest.row.rank >= rank:
                    rank = latest.row.rank
                    if version(latest) != told:
                        told = version(latest)
                        yield latest
                    if is_over(latest):
                        return
                latest = await _next(console, listener)
            if await _as_it_is(console, job) is None:
                return


async def _as_it_is(console: Console, job: Job) -> Job | None:
    """The job as it is now; None if it is forgotten, or the console is to end.

    That many ask at once is no reason to send away those who are being told already.
    """
    while not console.ending.is_set():
        try:
            return await again(console, job)
        except Problem as problem:
            if problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
        with suppress(TimeoutError):
            await asyncio.wait_for(console.ending.wait(), _BUSY_S)
    return None


async def _next(console: Console, listener: Listener) -> Job | None:
    """The next change; None: look again, as there was none for a while, or too many."""
    hearing = asyncio.ensure_future(listener.get())
    ending = asyncio.ensure_future(console.ending.wait())
    try:
        await asyncio.wait(
            (hearing, ending), timeout=_LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        return hearing.result() if hearing.done() else None
    finally:
        hearing.cancel()
        ending.cancel()
