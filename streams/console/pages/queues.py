"""Queues: how much is in each, whose they are, and what is paused."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from streams.console.api.queues import all_queues
from streams.console.api.shared import Served
from streams.console.console import Console
from streams.console.pages.render import page
from streams.projection.numbers import counts

router = APIRouter(include_in_schema=False)


@router.get("/ui/queues", response_class=HTMLResponse)
async def queues(request: Request, console: Served, part: bool = False) -> HTMLResponse:
    """The page, or (`part`) what changes of it."""
    values = await _queues(console)
    return page(request, "queues_part.html" if part else "queues.html", **values)


async def _queues(console: Console) -> dict[str, Any]:
    control = console.feed.board.control
    paused = control.paused()
    names: dict[str, dict[str, dict[str, int]]] = {}
    for each in await console.ask(counts):
        states = names.setdefault(each.queue, {}).setdefault(each.name, {})
        states[each.state] = each.number
    return {
        "queues": await all_queues(console),
        "groups": {name: control.owner(name) for name in console.settings.queues},
        "names": names,
        "paused_names": {(queue, name): pause for (queue, name), pause in paused.items() if name},
    }
