"""`GET /jobs`: listing them, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Annotated, Any

from fastapi import APIRouter, Query

from streams.console import views
from streams.console.api import forms
from streams.console.api.body import Route
from streams.console.api.shared import PAGE, Filtered, Limit, Served, read_moment
from streams.projection.filter import Cursor, Filter, read_states
from streams.projection.job import Job, jobs_of
from streams.projection.listing import Listing, Page

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Route)


@router.get("", response_model=None, responses=forms.ok(forms.Jobs))
async def list_jobs(
    console: Served,
    state: Annotated[
        str, Query(max_length=500, description="States or groups of them, by commas.")
    ] = "",
    queue: Filtered = None,
    name: Filtered = None,
    key: Filtered = None,
    error: Annotated[
        str | None,
        Query(min_length=1, max_length=500, description="The type of the last error."),
    ] = None,
    text: Annotated[
        str | None, Query(max_length=200, description="Somewhere in id, key or message.")
    ] = None,
    parent: Filtered = None,
    since: Annotated[
        str | None, Query(max_length=64, description="In its state since: 2h ago, or a time.")
    ] = None,
    until: Annotated[str | None, Query(max_length=64, description="In it before that.")] = None,
    cursor: Annotated[
        str | None, Query(max_length=200, description="What the page before gave.")
    ] = None,
    limit: Limit = PAGE,
) -> dict[str, Any]:
    """Jobs, the latest change first."""
    wanted = Filter(
        states=read_states(state),
        queue=queue,
        name=name,
        key=key,
        error=error,
        text=text or None,
        parent=parent,
        since=read_moment("since", since),
        until=read_moment("until", until),
    )
    behind = None if cursor is None else Cursor.read(cursor)

    def read(db: Connection) -> tuple[Page, Sequence[Job]]:
        page = Listing(db).page(wanted, limit=limit, cursor=behind, floors=console.feed.floors)
        return page, jobs_of(db, page.rows)

    page, jobs = await console.ask(read)
    return {
        "data": [views.job(job) for job in jobs],
        "cursor": None if page.cursor is None else page.cursor.text(),
        "partial": page.is_partial,
    }
