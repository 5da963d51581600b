"""Schedules: in words, when they run next, when they ran last, and what was missed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from streams.console.api.shared import Served
from streams.console.pages.render import page
from streams.cron.schedule import Cron, Schedule
from streams.cron.ticks import next_tick
from streams.cron.words import words
from streams.projection.file import now_ms
from streams.schedules.book import Known, read_book

router = APIRouter(include_in_schema=False)

_NEXT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """One schedule as the page shows it; times in milliseconds since the epoch."""

    name: str
    queue: str
    state: str
    words: str
    pattern: str
    next: tuple[int, ...]
    last: int | None
    missed: int
    skipped: int
    reason: str


@router.get("/ui/schedules", response_class=HTMLResponse)
async def schedules(request: Request, console: Served, part: bool = False) -> HTMLResponse:
    """The page, or (`part`) what changes of it."""
    now = now_ms()
    book = read_book(console.registry, console.feed.board.control)
    found = [_shown(known, now) for known in book.values()]
    return page(request, "schedules_part.html" if part else "schedules.html", schedules=found)


def _shown(known: Known, now: int) -> Scheduled:
    schedule = None if known.planned is None else known.planned.schedule
    state = known.state(now)
    ticked = known.ticked
    return Scheduled(
        name=known.name,
        queue=known.queue,
        state=state,
        words="" if schedule is None else words(schedule),
        pattern=schedule.pattern if isinstance(schedule, Cron) else "",
        next=() if schedule is None or state != "active" else tuple(_next(schedule, now)),
        last=known.last_tick(),
        missed=0 if ticked is None else ticked.missed,
        skipped=0 if ticked is None else ticked.skipped,
        reason="" if known.pause is None else known.pause.reason,
    )


def _next(schedule: Schedule, now: int) -> list[int]:
    def ticks() -> list[int]:
        found: list[int] = []
        at = now
        while len(found) < _NEXT and (tick := next_tick(schedule, at)) is not None:
            found.append(tick)
            at = tick
        return found

    return list(islice(ticks(), _NEXT))
