"""The list of jobs: filtered, in pages, with how many there are in each state."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from streams.console import views
from streams.console.api.shared import PAGE, Served
from streams.console.console import Console
from streams.console.pages.asked import Asked, InAddress
from streams.console.pages.parts import told
from streams.console.pages.render import job_link, link, page
from streams.console.problems import Problem
from streams.console.which import Which
from streams.errors import PayloadInvalid
from streams.projection.filter import BadFilter, Cursor, read_states
from streams.projection.job import Job, jobs_of
from streams.projection.listing import Kinds, Listing, Page
from streams.projection.numbers import Count, counts
from streams.projection.states import NAMES

router = APIRouter(include_in_schema=False)

TABS: Final = (
    ("", "All"),
    ("waiting", "Waiting"),
    ("running", "Active"),
    ("delayed", "Delayed"),
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("cancelled,discarded,expired", "Called off"),
)


Text = Annotated[str, Query(max_length=200)]


@router.get("/ui/jobs", response_class=HTMLResponse)
async def jobs(
    request: Request, console: Served, wanted: InAddress, part: bool = False
) -> HTMLResponse:
    """The list, or (`part`) what changes of it."""
    template = "jobs_part.html" if part else "jobs.html"
    try:
        values = await _list(console, wanted, part=part)
    except (BadFilter, PayloadInvalid) as problem:
        values = {**_nothing(wanted), "problem": str(problem)}
        return page(request, template, status=422, **values)
    return page(request, template, **values)


def _nothing(wanted: Asked) -> dict[str, Any]:
    return {
        "asked": wanted,
        "fields": {},
        "tabs": [],
        "rows": [],
        "older": None,
        "is_partial": False,
        "problem": None,
        "queues": (),
        "names": (),
        "sought": wanted.q,
    }


async def _list(console: Console, wanted: Asked, *, part: bool) -> dict[str, Any]:
    filter_ = wanted.filter()
    cursor = Cursor.read(wanted.cursor) if wanted.cursor else None

    def read(db: Connection) -> tuple[Page, Sequence[Job], Kinds]:
        found = Listing(db).page(
            filter_,
            limit=PAGE,
            cursor=cursor,
            newest_first=wanted.order != "oldest",
            floors=console.feed.floors,
        )
        return found, jobs_of(db, found.rows), Kinds.read(db)

    found, listed, kinds = await told(
        console, ("jobs", wanted), lambda: console.ask(read), part=part
    )
    numbers = await told(console, "counts", lambda: console.ask(counts), part=part)
    return {
        **_nothing(wanted),
        "fields": wanted.fields,
        "tabs": [
            (word, label, _number(word, wanted, numbers), wanted.link(state=word))
            for word, label in TABS
        ],
        "rows": [views.row(job) for job in listed],
        "older": None if found.cursor is None else wanted.link(cursor=found.cursor.text()),
        "is_partial": found.is_partial,
        "queues": console.settings.queues,
        "names": sorted({name for _, name in kinds.names.values()}),
    }


def _number(word: str, wanted: Asked, numbers: list[Count]) -> int | None:
    """How many there are; None: counting them would take too long."""
    if wanted.is_narrower:
        return None
    states = read_states(word)
    return sum(
        each.number
        for each in numbers
        if (not wanted.queue or each.queue == wanted.queue)
        and (not wanted.name or each.name == wanted.name)
        and (not states or any(NAMES[code] == each.state for code in states))
    )


@router.get("/ui/search", response_class=HTMLResponse)
async def search(console: Served, q: Text = "") -> RedirectResponse:
    """To the job of this id if there is one, else to the list of what has the text."""
    sought = q.strip()
    if not sought:
        return RedirectResponse("/ui/jobs", 303)

    try:
        # What was accepted a moment ago is found as well.
        jobs = await console.find(Which(id=sought))
    except Problem:
        jobs = []
    found = [job_link(job.queue, job.name, job.id, job.row.key) for job in jobs]
    return RedirectResponse(found[0] if len(found) == 1 else link("/ui/jobs", q=sought), 303)
