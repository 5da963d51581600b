"""What all routes take: the console, who asks, and numbers within bounds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Query, Request

from streams.console.console import Console
from streams.console.finding import one
from streams.console.paths import Name
from streams.console.which import Which
from streams.durations import to_ms
from streams.errors import PayloadInvalid
from streams.projection.file import now_ms
from streams.projection.job import Job
from streams.wire.times import EARLIEST, LATEST, to_epoch_ms

PAGE_MAX: Final = 500
PAGE: Final = 50
WAIT_MAX_S: Final = 60


def the_console(request: Request) -> Console:
    """The console that serves this request."""
    console: Console = request.app.state.console
    return console


def who_asks(request: Request) -> str:
    """Whom an action is put down to: the name of a token, or whoever runs this console."""
    return str(request.state.who)


Served = Annotated[Console, Depends(the_console)]
Who = Annotated[str, Depends(who_asks)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="How many at most.")]
Filtered = Annotated[str | None, Query(min_length=1, max_length=500)]
"""What has to be so; empty it would be neither all nor nothing, and is refused."""


async def the_job(
    console: Served,
    id: Name,
    name: Annotated[
        str | None, Query(max_length=500, description="The job's name, where several have the id.")
    ] = None,
    queue: Annotated[str | None, Query(max_length=500, description="Likewise its queue.")] = None,
    key: Annotated[
        str | None,
        Query(
            max_length=2_000,
            description="Likewise its key, with its scope; empty: the one without a key.",
        ),
    ] = None,
) -> Job:
    """The one job that a request is about.

    Raises:
        Problem: there is none, or more than one.
    """
    return await one(console, Which(id=id, name=name, queue=queue, key=key))


TheJob = Annotated[Job, Depends(the_job)]


def read_moment(name: str, text: str | None) -> int | None:
    """A time in ms since the epoch, written as one, or as how long ago it is.

    Raises:
        PayloadInvalid: it is none.
    """
    if text is None:
        return None
    try:
        ago = to_ms(text)
    except ValueError:
        pass
    else:
        return max(0, now_ms() - ago)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise PayloadInvalid(f"{name}: say in which zone that is: ...Z, +01:00", field=name)
        at = to_epoch_ms(moment)
        if not EARLIEST <= at <= LATEST:
            raise ValueError
        return at
    except ValueError:
        told = "write how long ago it is (2h, 7d), or a time as 2026-12-24T18:00:00Z"
        raise PayloadInvalid(f"{name}: {told}", field=name) from None


def read_wait(text: str | None) -> float:
    """Seconds, of a duration of at most a minute.

    Raises:
        PayloadInvalid: it is none.
    """
    if text is None:
        return 0
    try:
        seconds = to_ms(text) / 1000
    except ValueError as error:
        raise PayloadInvalid(f"wait: {error}", field="wait") from None
    if seconds > WAIT_MAX_S:
        raise PayloadInvalid(f"wait: at most {WAIT_MAX_S}s; ask again then", field="wait")
    return seconds
