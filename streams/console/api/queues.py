"""`/queues`: what there is of each, and stopping, starting and emptying it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends

from streams.console import acting, views
from streams.console.api import forms
from streams.console.api.asked import Body, Reason, Text
from streams.console.api.body import Route
from streams.console.api.shared import Served, Who
from streams.console.console import Console
from streams.console.paths import Name
from streams.projection.file import now_ms
from streams.projection.numbers import counts, oldest_waiting

router = APIRouter(prefix="/queues", tags=["queues"], route_class=Route)

_ACT: Final[Any] = {
    "status_code": 202,
    "response_model": None,
    "responses": forms.ok(forms.Told, 404),
}


class OfQueue(Body):
    """`job`: only the jobs of this name; `reason` is told to whoever asks why."""

    job: Text | None = None
    reason: Reason = ""


def given(body: OfQueue | None = None) -> OfQueue:
    """What a request says of it, or nothing."""
    return body or OfQueue()


Given = Annotated[OfQueue, Depends(given)]


async def all_queues(console: Console) -> list[dict[str, Any]]:
    """Each queue with its numbers."""
    numbers, oldest = await console.ask(lambda db: (counts(db), oldest_waiting(db)))
    paused = console.feed.board.control.paused()
    return [
        views.queue(
            name,
            numbers,
            oldest=oldest,
            running=console.running(name, now_ms()),
            pause=paused.get((name, "")),
        )
        for name in console.settings.queues
    ]


@router.get("", response_model=None, responses=forms.ok(forms.Queues))
async def list_queues(console: Served) -> dict[str, Any]:
    """All queues, and how many jobs are in which state."""
    return {"data": await all_queues(console)}


@router.post("/{name}/pause", **_ACT)
async def pause_queue(console: Served, who: Who, name: Name, asked: Given) -> dict[str, Any]:
    """Start nothing more of a queue, or of one job of it; what runs goes on."""
    await acting.pause(console, name, who, job=asked.job or "", reason=asked.reason)
    return {"queue": name, "job": asked.job, "asked": "pause"}


@router.post("/{name}/resume", **_ACT)
async def resume_queue(console: Served, who: Who, name: Name, asked: Given) -> dict[str, Any]:
    """Go on with a queue, or one job of it, that was paused."""
    await acting.resume(console, name, who, job=asked.job or "", reason=asked.reason)
    return {"queue": name, "job": asked.job, "asked": "resume"}


@router.post("/{name}/purge", **_ACT)
async def purge_queue(console: Served, who: Who, name: Name, asked: Given) -> dict[str, Any]:
    """Cancel all jobs that wait in a queue, or those of one name; dead letters stay."""
    await acting.purge(console, name, who, job=asked.job or "", reason=asked.reason)
    return {"queue": name, "job": asked.job, "asked": "purge"}
