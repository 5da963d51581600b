"""The ticks of a schedule: when it is due, which one is next, how many there were. Pure.

Times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice, takewhile
from typing import Final

from streams.cron.pattern import parse
from streams.cron.schedule import Every, Schedule
from streams.cron.wall import times
from streams.cron.zone import zone

COUNTED_MAX: Final = 10_000
"""Ticks of a pattern are counted one by one, up to here; those of an interval are reckoned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many there are: `number`, or at least that many."""

    number: int
    is_exact: bool = True


def next_tick(schedule: Schedule, after_ms: int) -> int | None:
    """The first tick that is later than `after_ms`; None if there is none."""
    return next(_ticks(schedule, after_ms), None)


def ticks_between(schedule: Schedule, after_ms: int, until_ms: int) -> Iterator[int]:
    """The ticks later than `after_ms`, up to `until_ms` and with it, in order; one at a time."""
    return takewhile(lambda tick: tick <= until_ms, _ticks(schedule, after_ms))


def count_ticks(schedule: Schedule, after_ms: int, until_ms: int) -> Count:
    """How many `ticks_between` has; exact for intervals, and for patterns up to COUNTED_MAX."""
    if isinstance(schedule, Every):
        return Count(number=len(_interval(schedule, after_ms, until_ms)))
    counted = sum(1 for _ in islice(ticks_between(schedule, after_ms, until_ms), COUNTED_MAX + 1))
    return Count(number=min(counted, COUNTED_MAX), is_exact=counted <= COUNTED_MAX)


def latest_ticks(schedule: Schedule, after_ms: int, until_ms: int, most: int) -> list[int]:
    """The last `most` that `ticks_between` has, in order."""
    if isinstance(schedule, Every):
        return list(_interval(schedule, after_ms, until_ms)[-most:])
    span_ms = 60_000
    while True:
        low_ms = max(after_ms, until_ms - span_ms)
        found = deque(ticks_between(schedule, low_ms, until_ms), maxlen=most)
        if len(found) == most or low_ms == after_ms:
            return list(found)
        span_ms *= 8


def due_at(schedule: Schedule, name: str, tick_ms: int) -> int:
    """When a tick of the schedule with this name is started: put off by its jitter.

    Whoever reckons it comes to the same time.
    """
    jitter_ms = schedule.jitter_ms
    if not jitter_ms:
        return tick_ms
    digest = blake2b(f"{name}:{tick_ms}".encode(), digest_size=8).digest()
    return tick_ms + int.from_bytes(digest) % (jitter_ms + 1)


def tick_id(name: str, tick_ms: int) -> str:
    """What names a tick, the same on every worker: "daily_report:2026-11-30T07:00:00Z"."""
    moment = datetime.fromtimestamp(tick_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    part = f".{tick_ms % 1_000:03d}" if tick_ms % 1_000 else ""
    return f"{name}:{moment}{part}Z"


def is_tick_id(id: str, ms: int) -> bool:
    """Whether `id` names a tick of this time, whatever its schedule."""
    return id.endswith(tick_id("", ms))


def _ticks(schedule: Schedule, after_ms: int) -> Iterator[int]:
    start_ms, end_ms = schedule.start_ms, schedule.end_ms
    if start_ms is not None:
        after_ms = max(after_ms, start_ms - 1)
    if isinstance(schedule, Every):
        ticks: Iterator[int] = iter(_interval(schedule, after_ms, _FOREVER_MS))
    else:
        found = times(parse(schedule.pattern), zone(schedule.tz), after_ms // 1_000)
        ticks = (at * 1_000 for at in found)
    return ticks if end_ms is None else takewhile(lambda tick: tick < end_ms, ticks)


_FOREVER_MS: Final = 253_370_764_800_000  # the year 9999


def _interval(schedule: Every, after_ms: int, until_ms: int) -> range:
    """The ticks of an interval, by arithmetic."""
    step = schedule.ms
    anchor = schedule.start_ms or 0
    if schedule.start_ms is not None:
        after_ms = max(after_ms, anchor - 1)
    if schedule.end_ms is not None:
        until_ms = min(until_ms, schedule.end_ms - 1)
    first = after_ms + step - (after_ms - anchor) % step
    return range(first, until_ms + 1, step)
