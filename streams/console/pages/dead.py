"""Dead letters: grouped by error, then listed."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from streams.console import views
from streams.console.api.shared import PAGE, Served
from streams.console.groups import Deaths, deaths
from streams.console.pages.jobs import Asked
from streams.console.pages.render import page
from streams.projection.filter import Cursor, Filter
from streams.projection.letters import Listed, listed_letters
from streams.projection.listing import Kinds, Listing, Page
from streams.projection.states import DEAD

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Query(max_length=500)]

_UNREAD: Final = 20


@router.get("/ui/dead-letters", response_class=HTMLResponse)
async def dead_letters(
    request: Request,
    console: Served,
    queue: Text = "",
    name: Text = "",
    key: Text = "",
    error: Text = "",
    q: Text = "",
    cursor: Text = "",
    part: bool = False,
) -> HTMLResponse:
    """The page, or (`part`) what changes of it."""
    wanted = Asked("failed", queue, name, key.strip(), error, q.strip(), "", cursor)
    behind = Cursor.read(cursor) if cursor else None
    filter_ = Filter(
        states=frozenset({DEAD}),
        queue=queue or None,
        name=name or None,
        key=wanted.key or None,
        error=error or None,
        text=wanted.q or None,
    )

    def read(db: Connection) -> tuple[Page, Kinds, list[Deaths], list[Listed]]:
        found = Listing(db).page(filter_, limit=PAGE, cursor=behind)
        # What nobody could read has no job, and nothing but a queue and an error to be sought by.
        unread = [] if wanted.is_narrow or cursor else listed_letters(db, limit=_UNREAD)
        return found, Kinds.read(db), deaths(db, queue or None, name or None), unread

    found, kinds, groups, unread = await console.ask(read)
    return page(
        request,
        "dead_part.html" if part else "dead.html",
        asked=wanted,
        groups=groups,
        unread=[each.letter for each in unread],
        rows=[views.row(each, kinds) for each in found.rows],
        older=None
        if found.cursor is None
        else wanted.link("/ui/dead-letters", state="", cursor=found.cursor.text()),
        is_partial=found.is_partial,
        queues=console.settings.queues,
        names=sorted({its for _, its in kinds.names.values()}),
        total=sum(group.count for group in groups),
    )
