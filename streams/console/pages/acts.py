"""What people do with queues and schedules from their pages."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form, Path
from fastapi.responses import RedirectResponse

from streams.console import acting, scheduling
from streams.console.api.shared import Served, Who
from streams.console.pages.forms import FromHere, back
from streams.console.paths import Name
from streams.console.problems import Problem

router = APIRouter(include_in_schema=False)

_OF_QUEUES: Final = {"pause": acting.pause, "resume": acting.resume, "purge": acting.purge}


@router.post("/ui/queues/{queue}/{verb}")
async def act_on_queue(
    console: Served,
    who: Who,
    _: FromHere,
    queue: Annotated[str, Path(max_length=500)],
    verb: Annotated[str, Path(max_length=20)],
    job: Annotated[str, Form(max_length=500)] = "",
    reason: Annotated[str, Form(max_length=1_000)] = "",
) -> RedirectResponse:
    """Pause, resume or empty a queue, or one job of it."""
    act = _OF_QUEUES.get(verb)
    if act is None:
        raise Problem(404, f"nothing can be done that is called {verb!r}")
    await act(console, queue, who, job=job, reason=reason)
    return back("/ui/queues", verb)


@router.post("/ui/schedules/{name}/{verb}")
async def act_on_schedule(
    console: Served,
    who: Who,
    _: FromHere,
    name: Name,
    verb: Annotated[str, Path(max_length=20)],
    reason: Annotated[str, Form(max_length=1_000)] = "",
) -> RedirectResponse:
    """Pause, resume or run a schedule now."""
    match verb:
        case "pause":
            await scheduling.pause(console, name, who, reason)
        case "resume":
            await scheduling.resume(console, name, who, reason)
        case "trigger":
            await scheduling.run(console, name, who)
        case _:
            raise Problem(404, f"nothing can be done that is called {verb!r}")
    return back("/ui/schedules", verb)
