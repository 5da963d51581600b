"""The overview: what needs attention, how fast things go, queues, and who is at work."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from streams.console import views
from streams.console.api.shared import Served
from streams.console.attention import WINDOW_MS, Situation, notices
from streams.console.console import Console
from streams.console.pages.render import page
from streams.console.series import curves, spark, step_of
from streams.projection.file import now_ms
from streams.projection.letters import letter_counts
from streams.projection.numbers import Count, Ended, counts, ended, oldest_waiting

router = APIRouter(include_in_schema=False)

SPANS: Final = {"1h": 60 * 60 * 1000, "6h": 6 * 60 * 60 * 1000, "24h": 24 * 60 * 60 * 1000}
_RUNNING_SHOWN: Final = 5


class _Read(NamedTuple):
    counts: list[Count]
    oldest: dict[str, int]
    drawn: list[Ended]
    lately: list[Ended]
    unread: int


@router.get("/", response_class=HTMLResponse)
async def overview(request: Request, console: Served, span: str = "1h") -> HTMLResponse:
    """The whole page."""
    return page(request, "overview.html", **await _overview(console, _known(span)))


@router.get("/ui/overview", response_class=HTMLResponse)
async def overview_part(request: Request, console: Served, span: str = "1h") -> HTMLResponse:
    """What changes on it."""
    span = _known(span)
    values = await console.once(("overview", span), lambda: _overview(console, span))
    return page(request, "overview_part.html", **values)


@router.get("/ui/standing", response_class=HTMLResponse)
async def standing(request: Request) -> HTMLResponse:
    """How far the projection is."""
    return page(request, "standing_part.html")


def _known(span: str) -> str:
    return span if span in SPANS else "1h"


async def _overview(console: Console, span: str) -> dict[str, Any]:
    now = now_ms()

    def read(db: Connection) -> _Read:
        return _Read(
            counts(db),
            oldest_waiting(db),
            list(ended(db, now - SPANS[span], every_ms=step_of(SPANS[span]))),
            list(ended(db, now - WINDOW_MS)),
            sum(number for _, _, number in letter_counts(db)),
        )

    if not console.feed.opened.is_set():
        return {"span": span, "spans": tuple(SPANS), "is_ready": False}
    numbers, oldest, ends, lately, unread = await console.ask(read)
    board = console.feed.board
    paused = board.control.paused()
    workers = board.workers(now)
    names = console.settings.queues
    queues = [
        views.queue(
            name,
            numbers,
            oldest=oldest,
            running=console.running(name, now),
            pause=paused.get((name, "")),
        )
        for name in names
    ]
    owners: dict[str, frozenset[int]] = {
        name: frozenset(part for worker in workers for part in worker.partitions.get(name, ()))
        for name in names
    }
    drawn = curves(ends, now, SPANS[span], names)
    running = sorted(
        ((one, worker.worker) for worker in workers for one in worker.running),
        key=lambda each: each[0].since,
    )
    return {
        "is_ready": True,
        "span": span,
        "spans": tuple(SPANS),
        "notices": notices(
            Situation(
                now=now,
                queues=queues,
                oldest=oldest,
                owners=owners,
                partitions=console.settings.partitions,
                workers=workers,
                ended=lately,
                unread=unread,
                is_connected=console.feed.is_connected,
            )
        ),
        "queues": queues,
        "oldest": oldest,
        "drawn": drawn,
        "chart": drawn.chart(),
        "spark": spark,
        "workers": workers,
        "running": running[:_RUNNING_SHOWN],
        "running_count": len(running),
    }
