"""`/schedules`: what the clock enqueues, and stopping, starting and running it now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from streams.console import scheduling
from streams.console.api import forms
from streams.console.api.asked import Reasoned
from streams.console.api.body import Route
from streams.console.api.shared import Served, Who
from streams.console.paths import Name
from streams.projection.file import now_ms

router = APIRouter(prefix="/schedules", tags=["schedules"], route_class=Route)


@router.get("", response_model=None, responses=forms.ok(forms.Schedules))
async def list_schedules(console: Served) -> dict[str, Any]:
    """All schedules: of the code, added at run time, elsewhere, and retired."""
    now = now_ms()
    book = scheduling.book(console)
    return {"data": [scheduling.shown(console, each, now) for each in book.values()]}


@router.get("/{name}", response_model=None, responses=forms.ok(forms.OneSchedule, 404))
async def get_schedule(console: Served, name: Name) -> dict[str, Any]:
    """One schedule."""
    return {"data": scheduling.shown(console, scheduling.known(console, name), now_ms())}


@router.post(
    "/{name}/pause", status_code=202, response_model=None, responses=forms.ok(forms.Halted, 404)
)
async def pause_schedule(
    console: Served, who: Who, name: Name, body: Reasoned | None = None
) -> dict[str, Any]:
    """Enqueue nothing of it until it is resumed."""
    await scheduling.pause(console, name, who, "" if body is None else body.reason)
    return {"schedule": name, "asked": "pause"}


@router.post(
    "/{name}/resume",
    status_code=202,
    response_model=None,
    responses=forms.ok(forms.Halted, 404, 409),
)
async def resume_schedule(
    console: Served, who: Who, name: Name, body: Reasoned | None = None
) -> dict[str, Any]:
    """Go on with it, from now on."""
    await scheduling.resume(console, name, who, "" if body is None else body.reason)
    return {"schedule": name, "asked": "resume"}


@router.post(
    "/{name}/run", status_code=202, response_model=None, responses=forms.ok(forms.Ran, 404, 409)
)
async def run_schedule(
    console: Served, who: Who, name: Name, body: Reasoned | None = None
) -> dict[str, Any]:
    """Enqueue one run now, also of one that is paused."""
    id = await scheduling.run(console, name, who, "" if body is None else body.reason)
    return {"jobId": id, "status": "queued"}
