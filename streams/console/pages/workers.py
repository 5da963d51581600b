"""Workers: who is at work, in which version, on what, and for how long."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from streams.console.api.shared import Served
from streams.console.pages.render import page
from streams.projection.file import now_ms

router = APIRouter(include_in_schema=False)


@router.get("/ui/workers", response_class=HTMLResponse)
async def workers(request: Request, console: Served, part: bool = False) -> HTMLResponse:
    """The page, or (`part`) what changes of it."""
    found = console.feed.board.workers(now_ms())
    return page(request, "workers_part.html" if part else "workers.html", workers=found)
