"""The list of jobs: filtered, in pages, with how many there are in each state."""

from __future__ import annotations

from dataclasses import dataclass
from sqlite3 import Connection
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from streams.console import views
from streams.console.api.shared import PAGE, Served
from streams.console.console import Console
from streams.console.pages.render import job_link, link, page
from streams.console.problems import Problem
from streams.console.which import Which
from streams.projection.filter import BadFilter, Cursor, Filter, read_states
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


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of a list says."""

    state: str = ""
    queue: str = ""
    name: str = ""
    key: str = ""
    error: str = ""
    q: str = ""
    order: str = ""
    cursor: str = ""

    def filter(self) -> Filter:
        """What it asks for.

        Raises:
            BadFilter: a state is none.
        """
        return Filter(
            states=read_states(self.state),
            queue=self.queue or None,
            name=self.name or None,
            key=self.key or None,
            error=self.error or None,
            text=self.q or None,
        )

    def link(self, path: str = "/ui/jobs", **changes: str) -> str:
        """The address of a list that differs in this."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return link(path, **{**told, "cursor": "", **changes})

    @property
    def is_narrow(self) -> bool:
        """Whether anything but a state is asked for."""
        return bool(self.queue or self.name or self.key or self.error or self.q)


Text = Annotated[str, Query(max_length=200)]


def asked(
    state: Text = "",
    queue: Text = "",
    name: Annotated[str, Query(max_length=500)] = "",
    key: Annotated[str, Query(max_length=500)] = "",
    error: Annotated[str, Query(max_length=500)] = "",
    q: Text = "",
    order: Text = "",
    cursor: Text = "",
) -> Asked:
    """What a request asks for."""
    return Asked(state, queue, name, key.strip(), error, q.strip(), order, cursor)


@router.get("/ui/jobs", response_class=HTMLResponse)
async def jobs(
    request: Request,
    console: Served,
    state: Text = "",
    queue: Text = "",
    name: Annotated[str, Query(max_length=500)] = "",
    key: Annotated[str, Query(max_length=500)] = "",
    error: Annotated[str, Query(max_length=500)] = "",
    q: Text = "",
    order: Text = "",
    cursor: Text = "",
    part: bool = False,
) -> HTMLResponse:
    """The list, or (`part`) what changes of it."""
    wanted = asked(state, queue, name, key, error, q, order, cursor)
    template = "jobs_part.html" if part else "jobs.html"
    try:
        values = await _list(console, wanted)
    except BadFilter as problem:
        values = {**_nothing(wanted), "problem": str(problem)}
        return page(request, template, status=422, **values)
    return page(request, template, **values)


def _nothing(wanted: Asked) -> dict[str, Any]:
    return {
        "asked": wanted,
        "tabs": [],
        "rows": [],
        "older": None,
        "is_partial": False,
        "problem": None,
        "queues": (),
        "names": (),
        "sought": wanted.q,
        "matching": None,
    }


async def _list(console: Console, wanted: Asked) -> dict[str, Any]:
    filter_ = wanted.filter()
    cursor = Cursor.read(wanted.cursor) if wanted.cursor else None

    def read(db: Connection) -> tuple[Page, Kinds, list[Count]]:
        found = Listing(db).page(
            filter_,
            limit=PAGE,
            cursor=cursor,
            newest_first=wanted.order != "oldest",
            floors=console.feed.floors,
        )
        return found, Kinds.read(db), counts(db)

    found, kinds, numbers = await console.ask(read)
    return {
        **_nothing(wanted),
        "tabs": [
            (word, label, _number(word, wanted, numbers), wanted.link(state=word))
            for word, label in TABS
        ],
        "rows": [views.row(each, kinds) for each in found.rows],
        "older": None if found.cursor is None else wanted.link(cursor=found.cursor.text()),
        "is_partial": found.is_partial,
        "queues": console.settings.queues,
        "names": sorted({name for _, name in kinds.names.values()}),
    }


def _number(word: str, wanted: Asked, numbers: list[Count]) -> int | None:
    """How many there are; None: counting them would take too long."""
    if wanted.key or wanted.error or wanted.q:
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
