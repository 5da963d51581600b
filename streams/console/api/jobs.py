"""`/jobs`: enqueueing them, listing them, and one of them."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Annotated, Any

from fastapi import APIRouter, Query

from streams.console import views
from streams.console.api.shared import PAGE, Limit, Served
from streams.console.problems import Problem
from streams.projection.filter import Cursor, Filter, read_states
from streams.projection.listing import Kinds, Listing, Page

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("")
async def list_jobs(
    console: Served,
    state: Annotated[str, Query(description="States or groups of them, comma-separated.")] = "",
    queue: str | None = None,
    name: str | None = None,
    key: str | None = None,
    error: Annotated[str | None, Query(description="The type of the last error.")] = None,
    text: Annotated[
        str | None, Query(max_length=200, description="Somewhere in id, key or message.")
    ] = None,
    parent: str | None = None,
    cursor: str | None = None,
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
    )
    behind = None if cursor is None else Cursor.read(cursor)

    def read(db: Connection) -> tuple[Page, Kinds]:
        page = Listing(db).page(wanted, limit=limit, cursor=behind, floors=console.feed.floors)
        return page, Kinds.read(db)

    page, kinds = await console.ask(read)
    return {
        "data": [views.job(row, kinds) for row in page.rows],
        "cursor": None if page.cursor is None else page.cursor.text(),
        "partial": page.is_partial,
    }


@router.get("/{id}")
async def get_job(console: Served, id: str, name: str | None = None) -> dict[str, Any]:
    """One job."""
    rows = await console.find(id, name)
    kinds = await console.ask(Kinds.read)
    if not rows:
        raise Problem(404, f"there is no job {id}")
    if len(rows) > 1:
        candidates = [views.job(row, kinds) for row in rows]
        raise Problem(409, f"{len(rows)} jobs have the id {id}: add ?name=", candidates=candidates)
    return {"data": views.job(rows[0], kinds)}
