"""Schedules as the console knows them, and what people do with them."""

from __future__ import annotations

from typing import Any, Final

from streams.client_request import now_ms
from streams.console import views
from streams.console.console import Console
from streams.console.on_record import on_record
from streams.console.problems import Problem
from streams.console.story import contract_of
from streams.cron.schedule import Cron, Every
from streams.cron.ticks import next_tick
from streams.cron.words import words
from streams.jobs.meant import advice
from streams.schedules.book import Known, read_book
from streams.schedules.calls import cancel_previous, run_by_hand
from streams.sensitive import masked
from streams.wire.schedules import Halt, encode_halt

_NEXT: Final = 5


def book(console: Console) -> dict[str, Known]:
    """All schedules, by name."""
    return read_book(console.registry, console.feed.board.control)


def known(console: Console, name: str) -> Known:
    """The schedule of this name.

    Raises:
        Problem: there is none.
    """
    found = book(console)
    if name not in found:
        raise Problem(
            404, f"there is no schedule {name!r}; {advice(name, found, else_='there are')}"
        )
    return found[name]


async def pause(console: Console, name: str, who: str, reason: str = "") -> None:
    """Enqueue nothing of it until it is resumed; what falls into that was not missed.

    Raises:
        Problem: there is none of this name.
    """
    before = known(console, name).pause
    at = now_ms() if before is None else before.at
    halt = Halt(at=at, is_paused=True, reason=reason or f"paused by {who}")
    await _keep(console, name, halt, who, "cron pause", reason)


async def resume(console: Console, name: str, who: str, reason: str = "") -> None:
    """Go on with it, from now on.

    Raises:
        Problem: there is none of this name, or it is not paused.
    """
    found = known(console, name)
    if found.pause is None and found.state(now_ms()) != "ahead":
        raise Problem(409, f"the schedule {name} is not paused")
    halt = Halt(at=now_ms(), is_paused=False)
    await _keep(console, name, halt, who, "cron resume", reason)


async def run(console: Console, name: str, who: str, reason: str = "") -> str:
    """Enqueue one run now, also of one that is paused; the job's id.

    Raises:
        Problem: there is none of this name, or its handler is not known here.
    """
    planned = known(console, name).planned
    if planned is None:
        raise Problem(409, f"the handler of the schedule {name} is not known to this console")
    async with on_record(console, who, "cron run", name, reason):
        now = now_ms()
        await cancel_previous(console.client.delivery, console.names, planned, now)
        return (await run_by_hand(console.client, planned, now)).id


async def _keep(console: Console, name: str, halt: Halt, who: str, what: str, reason: str) -> None:
    key, value = encode_halt(name, halt)
    async with on_record(console, who, what, name, reason):
        await console.client.delivery.append(
            console.names.control, key=key, value=value, partition=0, job_id=None
        )


def shown(console: Console, found: Known, now: int) -> dict[str, Any]:
    """One schedule as JSON values; times in RFC 3339."""
    planned, ticked, halt = found.planned, found.ticked, found.pause
    schedule = None if planned is None else planned.schedule
    state, last = found.state(now), found.last_tick()
    upcoming: list[str | None] = []
    at = now
    while schedule is not None and len(upcoming) < _NEXT:
        tick = next_tick(schedule, at)
        if tick is None:
            break
        upcoming.append(views.time(tick))
        at = tick
    payload = None if planned is None or planned.payload is None else views.parsed(planned.payload)
    return {
        "name": found.name,
        "origin": found.origin,
        "queue": found.queue,
        "state": state,
        "job": None if planned is None else planned.job,
        "payload": None if planned is None else masked(contract_of(console, planned.job), payload),
        "pattern": schedule.pattern if isinstance(schedule, Cron) else None,
        "every": str(schedule.duration) if isinstance(schedule, Every) else None,
        "words": None if schedule is None else words(schedule),
        "next": upcoming if state == "active" else [],
        "last": None if last is None else views.time(last),
        "missed": 0 if ticked is None else ticked.missed,
        "skipped": 0 if ticked is None else ticked.skipped,
        "paused": None if halt is None else {"since": views.time(halt.at), "reason": halt.reason},
    }
