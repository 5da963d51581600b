"""What people do with one job from its page."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from streams.console import acting
from streams.console.access.gate import may
from streams.console.access.tokens import ACT
from streams.console.api.shared import Served, Who
from streams.console.pages.forms import FromHere, back
from streams.console.pages.job import find
from streams.console.pages.render import job_link, page
from streams.console.paths import name_in
from streams.console.problems import Problem
from streams.console.story import contract_of, shown, tell
from streams.errors import PayloadInvalid, PayloadTooLarge
from streams.sensitive import MASK

router = APIRouter(include_in_schema=False)

Part = Annotated[str, Path(max_length=2_000)]
Reason = Annotated[str, Form(max_length=1_000)]
Key = Annotated[str | None, Form(max_length=2_000)]

_VERBS: Final = ("cancel", "run", "replay", "discard")


@router.get("/ui/jobs/{queue}/{name}/{id}/edit", response_class=HTMLResponse)
async def edit(
    request: Request, console: Served, queue: Part, name: Part, id: Part, key: str | None = None
) -> HTMLResponse:
    """A dead job's payload, to be changed before it is run again."""
    if not may(request, ACT):
        raise Problem(403, f"to change it and run it again needs a token with the scope {ACT}")
    queue, name, id = name_in(queue), name_in(name), name_in(id)
    job = await find(console, queue, name, id, key)
    if job is None:
        raise Problem(404, f"there is no job {id} named {name} in {queue}")
    told = await tell(console, job)
    payload = shown(told, contract_of(console, name)).get("payload")
    if payload is None or payload == MASK:
        raise Problem(409, "its payload is too large, or no JSON: it can't be edited here")
    text = json.dumps(payload, indent=2, ensure_ascii=False)
    return _form(request, queue, name, id, job.row.key, text, None)


@router.post("/ui/jobs/{queue}/{name}/{id}/edit", response_model=None)
async def send_edited(
    request: Request,
    console: Served,
    who: Who,
    _: FromHere,
    queue: Part,
    name: Part,
    id: Part,
    payload: Annotated[str, Form(max_length=1_000_000)],
    key: Key = None,
    reason: Reason = "",
) -> Response:
    """Run it again with another payload; one that does not fit is shown with what is wrong."""
    queue, name, id = name_in(queue), name_in(name), name_in(id)
    job = await find(console, queue, name, id, key or None)
    if job is None:
        raise Problem(404, f"there is no job {id} named {name} in {queue}")
    try:
        await acting.replay_edited(console, job, who, payload, reason)
    except (PayloadInvalid, PayloadTooLarge) as error:
        return _form(request, queue, name, id, job.row.key, payload, str(error))
    return back(job_link(queue, name, id), "edit", key=job.row.key)


@router.post("/ui/jobs/{queue}/{name}/{id}/{verb}")
async def act(
    console: Served,
    who: Who,
    _: FromHere,
    queue: Part,
    name: Part,
    id: Part,
    verb: Part,
    key: Key = None,
    reason: Reason = "",
) -> RedirectResponse:
    """Do something with it, and go back to its page."""
    if verb not in _VERBS:
        raise Problem(404, f"nothing can be done that is called {verb!r}")
    queue, name, id = name_in(queue), name_in(name), name_in(id)
    job = await find(console, queue, name, id, key or None)
    if job is None:
        raise Problem(404, f"there is no job {id} named {name} in {queue}")
    match verb:
        case "cancel":
            await acting.cancel(console, job, who, reason)
        case "run":
            await acting.reschedule(console, job, who, delay="0s", reason=reason)
        case "replay":
            await acting.replay(console, job, who, reason)
        case _:
            await acting.discard(console, job, who, reason)
    return back(job_link(queue, name, id), verb, key=job.row.key)


def _form(
    request: Request,
    queue: str,
    name: str,
    id: str,
    key: str | None,
    text: str,
    problem: str | None,
) -> HTMLResponse:
    values: dict[str, Any] = {
        "queue": queue,
        "name": name,
        "id": id,
        "key": key,
        "text": text,
        "problem": problem,
        "address": job_link(queue, name, id, key),
    }
    return page(request, "edit.html", status=200 if problem is None else 422, **values)
