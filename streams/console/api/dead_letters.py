"""`/dead-letters`: listing them, counting them, and resolving many in the background."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from streams.console import letters
from streams.console.api import forms
from streams.console.api.actions import bulk_json
from streams.console.api.asked import Body, Reason, Text
from streams.console.api.body import Route
from streams.console.api.shared import PAGE, Filtered, Limit, Served, Who, read_moment
from streams.console.bulk import Bulk, Order
from streams.console.console import Console
from streams.console.problems import Problem
from streams.replay.letter_filter import LetterFilter
from streams.replay.pace import per_second

router = APIRouter(prefix="/dead-letters", tags=["dead letters"], route_class=Route)

_PREVIEW_S: Final = 10.0
_GENERATIONS: Final = 2**31 - 1


@router.get("", response_model=None, responses=forms.ok(forms.DeadLetters))
async def list_letters(
    console: Served,
    queue: Filtered = None,
    job: Annotated[
        str | None, Query(min_length=1, max_length=500, description="The job's name.")
    ] = None,
    key: Filtered = None,
    error: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=500,
            description="The error's type, with or without its module.",
        ),
    ] = None,
    text: Annotated[
        str | None, Query(max_length=200, description="Somewhere in id, key or message.")
    ] = None,
    since: Annotated[
        str | None, Query(max_length=64, description="Dead since: 2h ago, or a time.")
    ] = None,
    until: Annotated[str | None, Query(max_length=64, description="Dead before that.")] = None,
    by: Annotated[
        Literal["error", "job", "queue"] | None,
        Query(description="How many there are of each; goes with `queue` and `job` alone."),
    ] = None,
    undecodable: Annotated[
        bool,
        Query(description="What nobody could read, which is no job; with `queue`, `error`, `by`."),
    ] = False,
    cursor: Annotated[
        str | None, Query(max_length=200, description="What the page before gave.")
    ] = None,
    limit: Limit = PAGE,
) -> dict[str, Any]:
    """Dead letters, the latest first, or how many there are of each kind."""
    narrow = (key, error, text, since, until)
    if undecodable:
        if job is not None or by == "job" or any((key, text, since, until)):
            raise Problem(422, "undecodable: it goes with queue and error alone, as it is no job")
        if by is not None:
            found = await letters.undecodable_counted(console, by, queue, error)
            return {"data": found, "by": by}
        return await letters.undecodable(console, queue, error, limit, cursor)
    if by is not None:
        if any(each is not None for each in narrow) or cursor is not None:
            raise Problem(422, "by: it goes with queue and job alone")
        return {"data": await letters.grouped(console, by, queue, job), "by": by}
    wanted = letters.wanted_letters(
        queue=queue,
        name=job,
        key=key,
        error=await letters.error_meant(console, error),
        text=text or None,
        since=read_moment("since", since),
        until=read_moment("until", until),
    )
    return await letters.listed(console, wanted, limit, cursor)


class Meant(Body):
    """Which letters: all that is said has to fit; or `all`."""

    all: bool = False
    letter: Text | None = Field(None, description="The job's id, or topic/partition/offset.")
    job: Text | None = None
    queue: Text | None = None
    error: Text | None = Field(None, description="Its type, with or without its module.")
    text: Text | None = Field(None, description="In the message, the trace or the payload.")
    key: Text | None = None
    since: Annotated[str, Field(max_length=64, examples=["2h"])] | None = None
    until: Annotated[str, Field(max_length=64)] | None = None
    generation: int | None = Field(None, ge=0, le=_GENERATIONS)
    dry_run: bool = Field(False, description="Say how many there are, and no more.")
    rate: Annotated[str, Field(max_length=32, examples=["50/s"])] | None = None

    def filter(self) -> LetterFilter:
        """As the engine has it.

        Raises:
            Problem: nothing is said, or what contradicts itself.
        """
        made = LetterFilter(
            letter=self.letter,
            job=self.job,
            queue=self.queue,
            error=self.error,
            text=self.text,
            key=self.key,
            since=read_moment("since", self.since),
            until=read_moment("until", self.until),
            generation=self.generation,
        )
        if made.told() and self.all:
            raise Problem(422, "all: it is every letter; leave it out, or the rest")
        if not made.told() and not self.all:
            raise Problem(422, 'say which letters (job, error, ...), or "all": true')
        return made

    def per_second(self) -> float | None:
        """The rate.

        Raises:
            Problem: it is none.
        """
        try:
            return None if self.rate is None else per_second(self.rate)
        except (ValueError, OverflowError) as error:
            raise Problem(422, f"rate: {error}") from None


class Replayed(Meant):
    """Which letters to replay."""

    reason: Reason = ""
    max_returns: int = Field(
        5, ge=1, le=_GENERATIONS, description="Leave those that came back so often."
    )


class Discarded(Meant):
    """Which letters to discard, and why."""

    reason: Annotated[str, Field(min_length=1, max_length=500, examples=["obsolete"])]


_ANSWERS: Final[Any] = {
    200: {"model": forms.OneAction, "description": "What a `dry_run` has found."},
    202: {"model": forms.OneAction, "headers": forms.LOCATION},
    **forms.errors(429),
}


@router.post("/replay", status_code=202, response_model=None, responses=_ANSWERS)
async def replay_letters(
    console: Served, who: Who, response: Response, body: Replayed
) -> dict[str, Any]:
    """Replay many in the background; `Location` says how far that is."""
    order = Order(
        verb="replay",
        filter=body.filter(),
        reason=body.reason,
        rate=body.per_second(),
        returns_max=body.max_returns,
        dry_run=body.dry_run,
    )
    return await _begun(console, order, who, response)


@router.post("/discard", status_code=202, response_model=None, responses=_ANSWERS)
async def discard_letters(
    console: Served, who: Who, response: Response, body: Discarded
) -> dict[str, Any]:
    """Discard many in the background, for good; `Location` says how far that is."""
    order = Order(
        verb="discard",
        filter=body.filter(),
        reason=body.reason,
        rate=body.per_second(),
        dry_run=body.dry_run,
    )
    return await _begun(console, order, who, response)


async def _begun(console: Console, order: Order, who: str, response: Response) -> dict[str, Any]:
    bulk: Bulk = console.bulks.start(order, who)
    response.headers["Location"] = f"/actions/{bulk.id}"
    if order.dry_run and bulk.task is not None:
        await asyncio.wait((bulk.task,), timeout=_PREVIEW_S)
        if bulk.ended is not None:
            response.status_code = 200
    return {"data": bulk_json(bulk)}
