"""Before a job is cancelled or discarded: what that means, and why it is done."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from streams.console.access.gate import may
from streams.console.access.tokens import ACT
from streams.console.api.shared import Served
from streams.console.pages.job import find
from streams.console.pages.render import job_link
from streams.console.pages.sure import ask_first
from streams.console.paths import name_in
from streams.console.problems import Problem

router = APIRouter(include_in_schema=False)

Part = Annotated[str, Path(max_length=2_000)]

_ASKED: Final = {
    "cancel": (
        "Cancel this job?",
        "If it runs, its handler is interrupted. It does not run again.",
        "Cancel the job",
    ),
    "discard": (
        "Discard this dead letter?",
        "The job ends for good; its letter is removed.",
        "Discard it",
    ),
}
"""A question, what it means, and what the button says."""


@router.get("/ui/jobs/{queue}/{name}/{id}/{verb}", response_class=HTMLResponse)
async def sure(
    request: Request,
    console: Served,
    queue: Part,
    name: Part,
    id: Part,
    verb: Part,
    key: Annotated[str | None, Query(max_length=2_000)] = None,
) -> HTMLResponse:
    """Ask whether it is to be done."""
    if verb not in _ASKED:
        raise Problem(404, f"there is no page {verb!r} of a job")
    if not may(request, ACT):
        raise Problem(403, f"to {verb} it needs a token with the scope {ACT}")
    queue, name, id = name_in(queue), name_in(name), name_in(id)
    job = await find(console, queue, name, id, key)
    if job is None:
        raise Problem(404, f"there is no job {id} named {name} in {queue}")
    title, meaning, label = _ASKED[verb]
    return ask_first(
        request,
        "job_form.html",
        leave=job_link(queue, name, id, job.row.key),
        action=f"{job_link(queue, name, id)}/{verb}",
        key=job.row.key,
        title=title,
        meaning=meaning,
        label=label,
        named=f"{name} {id}",
    )
