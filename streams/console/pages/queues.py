"""Queues: how much is in each, whose they are, and what is paused."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from streams.console.api.queues import all_queues
from streams.console.api.shared import Served
from streams.console.console import Console
from streams.console.limits import limits_of
from streams.console.pages.parts import told
from streams.console.pages.render import page
from streams.projection.file import now_ms
from streams.projection.numbers import Count, Ended, counts, ended

router = APIRouter(include_in_schema=False)

_REACH_MS: Final = 24 * 60 * 60 * 1000  # what the projection has of what ended


@router.get("/ui/queues", response_class=HTMLResponse)
async def queues(request: Request, console: Served, part: bool = False) -> HTMLResponse:
    """The page, or (`part`) what changes of it."""
    values = await told(console, "queues", lambda: _queues(console), part=part)
    return page(request, "queues_part.html" if part else "queues.html", **values)


async def _queues(console: Console) -> dict[str, Any]:
    control = console.feed.board.control
    paused = control.paused()
    names: dict[str, dict[str, dict[str, int]]] = {}
    now = now_ms()
    definitions = console.registry.definitions()
    windows = [each.rate_limit.per_ms for each in definitions if each.rate_limit is not None]
    reach = min(max(windows, default=0), _REACH_MS)

    def read(db: Connection) -> tuple[list[Count], list[Ended]]:
        return counts(db), list(ended(db, now - reach)) if reach else []

    numbers, ends = await console.ask(read)
    workers = console.feed.board.workers(now)
    for each in numbers:
        states = names.setdefault(each.queue, {}).setdefault(each.name, {})
        states[each.state] = each.number
    return {
        "queues": await all_queues(console),
        "groups": {name: control.owner(name) for name in console.settings.queues},
        "names": names,
        "limits": {
            (each.queue, each.name): limits_of(each, workers, ends, now) for each in definitions
        },
        "paused_names": {(queue, name): pause for (queue, name), pause in paused.items() if name},
    }
