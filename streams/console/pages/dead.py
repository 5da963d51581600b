"""Dead letters: grouped by error, then listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from sqlite3 import Connection
from typing import Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from streams.console import views
from streams.console.api.shared import PAGE, Served
from streams.console.groups import Deaths, deaths
from streams.console.pages.asked import InAddress
from streams.console.pages.parts import told
from streams.console.pages.render import page
from streams.projection.filter import Cursor
from streams.projection.job import Job, jobs_of
from streams.projection.letters import Listed, letter_counts, listed_letters
from streams.projection.listing import Kinds, Listing, Page
from streams.projection.states import DEAD

router = APIRouter(include_in_schema=False)

_UNREAD: Final = 20


class _Found(NamedTuple):
    letters: Page
    jobs: Sequence[Job]
    kinds: Kinds
    unread: list[Listed]  # the latest
    unread_count: int


@router.get("/ui/dead-letters", response_class=HTMLResponse)
async def dead_letters(
    request: Request, console: Served, wanted: InAddress, part: bool = False
) -> HTMLResponse:
    """The page, or (`part`) what changes of it."""
    wanted = wanted.model_copy(update={"state": ""})
    behind = Cursor.read(wanted.cursor) if wanted.cursor else None
    filter_ = replace(wanted.filter(), states=frozenset({DEAD}))

    def read(db: Connection) -> _Found:
        found = Listing(db).page(filter_, limit=PAGE, cursor=behind)
        # What nobody could read has no job, and nothing but a queue and an error to be sought by.
        is_all = not (wanted.is_narrow or wanted.cursor)
        return _Found(
            found,
            jobs_of(db, found.rows),
            Kinds.read(db),
            listed_letters(db, limit=_UNREAD) if is_all else [],
            sum(number for _, _, number in letter_counts(db)) if is_all else 0,
        )

    def count(db: Connection) -> list[Deaths]:
        return deaths(db, wanted.queue or None, wanted.name or None)

    found = await told(console, ("dead", wanted), lambda: console.ask(read), part=part)
    of = ("deaths", wanted.queue, wanted.name)
    groups = await told(console, of, lambda: console.ask(count), part=part)
    page_, kinds = found.letters, found.kinds
    return page(
        request,
        "dead_part.html" if part else "dead.html",
        asked=wanted,
        groups=groups,
        unread=[each.letter for each in found.unread],
        unread_count=found.unread_count,
        rows=[views.row(job) for job in found.jobs],
        older=None
        if page_.cursor is None
        else wanted.link("/ui/dead-letters", cursor=page_.cursor.text()),
        is_partial=page_.is_partial,
        queues=console.settings.queues,
        names=sorted({its for _, its in kinds.names.values()}),
        total=sum(group.count for group in groups),
    )
