"""`/jobs/{id}`: one job, what becomes of it as it happens, and what is done with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response

from streams.console import acting, story, views
from streams.console.api import forms
from streams.console.api.asked import GivenReason, Rescheduled
from streams.console.api.body import Route
from streams.console.api.shared import Served, TheJob, Who, read_wait
from streams.console.console import Console
from streams.console.streaming import EventStream
from streams.console.waiting import changes, until_over, version
from streams.console.why import why as ask_why
from streams.errors import BrokerUnavailable
from streams.projection.job import Job
from streams.wire.times import show_time

router = APIRouter(prefix="/jobs/{id}", tags=["jobs"], route_class=Route)

_ACT: Final[Any] = {
    "status_code": 202,
    "response_model": None,
    "responses": forms.ok(forms.Asked, 404, 409),
}


@router.get("", response_model=None, responses=forms.ok(forms.OneJob, 404, 409))
async def get_job(
    console: Served,
    job: TheJob,
    wait: Annotated[
        str | None,
        Query(max_length=20, description="Answer once it is over, or after so long: 30s."),
    ] = None,
) -> dict[str, Any]:
    """One job whole: `result` if it completed, `failedReason` if it came to nothing.

    Straight after a 202 it is there, whichever console is asked.
    """
    wait_s = read_wait(wait)
    if wait_s and not story.is_over(job):
        console.readers.check()
        with console.readers.one_more():
            job = await until_over(console, job, wait_s)
    return {"data": await whole(console, job)}


async def whole(console: Console, job: Job) -> dict[str, Any]:
    """A job as answers show it."""
    told = await story.tell(console, job)
    return story.shown(told, story.contract_of(console, told.found.job.name))


@router.get(
    "/events",
    response_model=None,
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "description": "`change` for each change, and `end` once it is over.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "Nothing more is to come after `Last-Event-ID`."},
        **forms.errors(404, 409),
    },
)
async def job_events(
    console: Served,
    request: Request,
    job: TheJob,
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """Follow one job: its latest state now, then each change, up to its end.

    With `Last-Event-ID` it goes on behind that state, on any console.
    """
    if story.is_over(job) and version(job) == last_event_id:
        return Response(status_code=204)  # by which readers know not to come again
    console.readers.check()
    return EventStream(_events(console, job, last_event_id))


async def _events(
    console: Console, job: Job, last_event_id: str | None
) -> AsyncIterator[dict[str, Any]]:
    # Counted here and not before: what has not begun is never ended.
    with console.readers.one_more():
        async with aclosing(changes(console, job)) as changed:
            async for each in changed:
                if version(each) == last_event_id:
                    continue
                is_end = story.is_over(each)
                yield {
                    "id": version(each),
                    "event": "end" if is_end else "change",
                    "data": json.dumps(await _data(console, each, is_end)),
                }


async def _data(console: Console, job: Job, is_end: bool) -> dict[str, Any]:
    if is_end:
        try:
            return await console.once((job.identity, version(job)), lambda: whole(console, job))
        except BrokerUnavailable:
            pass  # how it ended is known nevertheless
    return views.job(job)


@router.get("/why", response_model=None, responses=forms.ok(forms.Why, 404, 409))
async def why(console: Served, job: TheJob) -> dict[str, Any]:
    """Why it is not done yet: its turn, its time, its key, a limit, a pause, no worker."""
    return {"data": await ask_why(console, job)}


@router.post("/cancel", **_ACT)
async def cancel(console: Served, who: Who, job: TheJob, reason: GivenReason) -> dict[str, Any]:
    """Ask its worker to end it; one that runs is interrupted, and may finish first."""
    await acting.cancel(console, job, who, reason)
    return {"jobId": job.id, "asked": "cancel"}


@router.post("/replay", **_ACT)
async def replay(console: Served, who: Who, job: TheJob, reason: GivenReason) -> dict[str, Any]:
    """Run a dead job again."""
    await acting.replay(console, job, who, reason)
    return {"jobId": job.id, "asked": "replay"}


@router.post("/discard", **_ACT)
async def discard(console: Served, who: Who, job: TheJob, reason: GivenReason) -> dict[str, Any]:
    """End a dead job for good; the reason is kept with it."""
    await acting.discard(console, job, who, reason)
    return {"jobId": job.id, "asked": "discard"}


@router.post("/reschedule", **_ACT)
async def reschedule(console: Served, who: Who, job: TheJob, body: Rescheduled) -> dict[str, Any]:
    """Start a job that waits at another time."""
    due = await acting.reschedule(
        console, job, who, delay=body.delay, run_at=body.run_at, reason=body.reason
    )
    return {"jobId": job.id, "asked": "reschedule", "due": show_time(due)}
