"""How `streams cron ls` shows schedules: pure, with `now` passed in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from streams.cli.output import TOGETHER, show_time
from streams.cron.schedule import Cron, Every, Schedule
from streams.cron.tick import local_time
from streams.cron.ticks import next_tick
from streams.cron.words import words
from streams.durations import format_ms
from streams.schedules.book import Known

Lines = list[tuple[str, str]]

COLUMNS: Final = (
    "name",
    "queue",
    "schedule",
    "in words",
    "next runs",
    "last tick",
    "missed",
    "skipped",
    "state",
    "paused",
)
NEXT: Final = 5


def block(known: Known, now: int) -> tuple[str, Lines]:
    """One schedule: its name and state, and what everybody wants to know of it."""
    schedule = None if known.planned is None else known.planned.schedule
    runs, following = "", ""
    if schedule is not None:
        runs = f"{words(schedule)}{_jitter(schedule)}"
        if isinstance(schedule, Cron):
            runs += f" ({schedule.pattern.replace(' ', TOGETHER)})"
        following = show_times(next_runs(schedule, now)).replace(" ", TOGETHER)
        following = following.replace(f",{TOGETHER}", ", ")
    lines = [("runs", runs), ("next", following), ("last", _told_last(known))]
    return f"{known.name}  {_told_state(known, now)}", lines


def fields(known: Known, now: int) -> Lines:
    """All of one schedule, by name."""
    planned, ticked = known.planned, known.ticked
    last, schedule = known.last_tick(), None if planned is None else planned.schedule
    told = [("name", known.name), ("origin", known.origin), ("state", _told_state(known, now))]
    if planned is not None:
        schedule = planned.schedule
        first, *others = [show_times([each]) for each in next_runs(schedule, now)] or [""]
        told += [
            ("schedule", pattern_of(schedule)),
            ("in words", words(schedule)),
            ("next runs", first),
            *(("", each) for each in others),
            ("start", _iso(schedule.start) or ""),
            ("end", _iso(schedule.end) or ""),
            ("missed runs", schedule.missed),
            ("overlap", schedule.overlap),
            ("job", planned.job),
            ("key", planned.key or ""),
            ("payload", "" if planned.payload is None else planned.payload.decode()),
        ]
    told.append(("queue", known.queue))
    if ticked is not None:
        told += [
            ("last tick", "" if last is None else show_times([_local(schedule, last)])),
            ("enqueued", str(ticked.fired)),
            ("missed", f"{ticked.missed}, of which {ticked.skipped} were skipped"),
        ]
    return told


def row(known: Known, now: int) -> tuple[str, ...]:
    """One schedule, as `COLUMNS` has it."""
    planned = known.planned
    schedule = None if planned is None else planned.schedule
    last = known.last_tick()
    return (
        known.name,
        known.queue,
        "" if schedule is None else pattern_of(schedule),
        "" if schedule is None else words(schedule),
        "" if schedule is None else show_times(next_runs(schedule, now)),
        "" if last is None else show_times([_local(schedule, last)]),
        "" if known.ticked is None else str(known.ticked.missed),
        "" if known.ticked is None else str(known.ticked.skipped),
        known.state(now),
        told_pause(known),
    )


def as_json(known: Known, now: int) -> dict[str, Any]:
    """One schedule for programs; times in ISO 8601, of its zone, durations in milliseconds."""
    planned, ticked, pause = known.planned, known.ticked, known.pause
    schedule = None if planned is None else planned.schedule
    last = known.last_tick()
    return {
        "name": known.name,
        "origin": known.origin,
        "queue": known.queue,
        "job": None if planned is None else planned.job,
        "key": None if planned is None else planned.key,
        "payload": _payload(known),
        **_options(schedule),
        "words": None if schedule is None else words(schedule),
        "next": [] if schedule is None else [t.isoformat() for t in next_runs(schedule, now)],
        "last_tick": None if last is None else _local(schedule, last).isoformat(),
        "fired": 0 if ticked is None else ticked.fired,
        "missed": 0 if ticked is None else ticked.missed,
        "skipped": 0 if ticked is None else ticked.skipped,
        "state": known.state(now),
        "paused_since": None if pause is None else _utc(pause.at),
        "reason": None if pause is None else pause.reason,
        "retired_since": _retired_since(known),
    }


def pattern_of(schedule: Schedule) -> str:
    """What was written: the pattern with its zone, or the interval; and the jitter."""
    if isinstance(schedule, Every):
        told = f"every {format_ms(schedule.ms)}"
    else:
        told = f"{schedule.pattern}, {schedule.tz}"
    return f"{told}{_jitter(schedule)}"


def next_runs(schedule: Schedule, now: int) -> list[datetime]:
    """The next times that it is due, in its zone; its jitter is not in them."""

    def ticks() -> Any:
        tick = next_tick(schedule, now)
        while tick is not None:
            yield tick
            tick = next_tick(schedule, tick)

    return [local_time(schedule, tick) for tick in islice(ticks(), NEXT)]


def show_times(moments: Sequence[datetime]) -> str:
    """Times one after the other, each with as much of its date as is new; then their zone."""
    told: list[str] = []
    before: datetime | None = None
    for moment in moments:
        if before is None or moment.year != before.year:
            date = f"{moment:%Y-%m-%d} "
        else:
            date = "" if moment.date() == before.date() else f"{moment:%m-%d} "
        seconds = f":{moment:%S}" if moment.second or moment.microsecond else ""
        told.append(f"{date}{moment:%H:%M}{seconds}")
        before = moment
    return f"{', '.join(told)} {moments[0]:%Z}" if moments else ""


def told_pause(known: Known) -> str:
    """Since when it is paused, and why."""
    pause = known.pause
    if pause is None:
        return ""
    return f"since {show_time(pause.at)}" + (f": {pause.reason}" if pause.reason else "")


def _told_state(known: Known, now: int) -> str:
    """Its state, and what there is to say about it."""
    state = known.state(now)
    if state == "paused":
        return f"paused {told_pause(known)}"
    if state == "elsewhere":
        return "elsewhere: no handler in STREAMS_HANDLERS has it"
    if state == "retired" and known.ticked is not None:
        return f"retired since {show_time(known.ticked.gone)}"
    return state


def _told_last(known: Known) -> str:
    last, ticked = known.last_tick(), known.ticked
    if last is None or ticked is None:
        return ""
    schedule = None if known.planned is None else known.planned.schedule
    told = show_times([_local(schedule, last)])
    if ticked.missed:
        told += f"; {ticked.missed} missed, {ticked.skipped} of them skipped"
    return told


def _jitter(schedule: Schedule) -> str:
    jitter = schedule.jitter_ms
    return f", up to {format_ms(jitter)} later" if jitter else ""


def _options(schedule: Schedule | None) -> dict[str, Any]:
    return {
        "pattern": schedule.pattern if isinstance(schedule, Cron) else None,
        "tz": schedule.tz if isinstance(schedule, Cron) else None,
        "every_ms": schedule.ms if isinstance(schedule, Every) else None,
        "jitter_ms": None if schedule is None else schedule.jitter_ms,
        "start": _iso(None if schedule is None else schedule.start),
        "end": _iso(None if schedule is None else schedule.end),
        "policy_for_missed": None if schedule is None else schedule.missed,
        "overlap": None if schedule is None else schedule.overlap,
    }


def _payload(known: Known) -> Any:
    import orjson

    if known.planned is None or known.planned.payload is None:
        return None
    return orjson.loads(known.planned.payload)


def _retired_since(known: Known) -> str | None:
    if known.origin != "retired" or known.ticked is None or known.ticked.gone is None:
        return None
    return _utc(known.ticked.gone)


def _local(schedule: Schedule | None, ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC) if schedule is None else local_time(schedule, ms)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
