"""Which ticks are to be run now, and what becomes of those that were missed. Pure.

Times are milliseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.cron.schedule import Schedule
from streams.cron.ticks import Count, count_ticks, due_at, latest_ticks, next_tick, ticks_between


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A tick that is to be run, and the missed ones that it stands for, itself among them.

    `missed` is 0 for a tick that is on time.
    """

    tick_ms: int
    missed: int = 0
    first_missed_ms: int | None = None
    last_missed_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done now, in order."""

    firings: tuple[Firing, ...] = ()
    skipped: int = 0
    """Ticks that were missed and are not run, nor stood for."""
    is_exact: bool = True
    """All were counted; else there were more missed ones than is said."""
    until_ms: int
    """The last tick that this decides: the next decision goes on from there."""


def decide(schedule: Schedule, name: str, last_ms: int, now_ms: int, grace_ms: int) -> Due:
    """What is due, given the last tick that was decided; a schedule that is new gives its birth.

    A tick is missed once it is more than `grace_ms` late, jitter not counted. If the clock was put
    back, nothing is due until it has passed `last_ms` again.
    """
    on_time, upto_ms = _on_time(schedule, name, last_ms, now_ms, grace_ms)
    firings = tuple(Firing(tick_ms=tick) for tick in on_time)
    latest = latest_ticks(schedule, last_ms, upto_ms, 1)
    if not latest:
        return Due(firings=firings, until_ms=on_time[-1] if on_time else last_ms)
    count = count_ticks(schedule, last_ms, upto_ms)
    late, skipped = _late(schedule, last_ms, latest[0], count)
    return Due(
        firings=late + firings,
        skipped=skipped,
        is_exact=count.is_exact,
        until_ms=on_time[-1] if on_time else latest[0],
    )


def _on_time(
    schedule: Schedule, name: str, last_ms: int, now_ms: int, grace_ms: int
) -> tuple[list[int], int]:
    """The ticks that are due and not late; and until when all were missed."""
    since_ms = max(last_ms, now_ms - grace_ms - schedule.jitter_ms - 1)
    upto_ms = now_ms
    on_time = []
    for tick in ticks_between(schedule, since_ms, now_ms):
        due_ms = due_at(schedule, name, tick)
        if now_ms - due_ms > grace_ms:
            continue
        # The jitter is less than the distance of ticks, so that the later ones are not late either.
        upto_ms = min(upto_ms, tick - 1)
        if due_ms > now_ms:
            break  # nor are the later ones due, but where a change of the clock brought them close
        on_time.append(tick)
    return on_time, upto_ms


def _late(
    schedule: Schedule, last_ms: int, latest_ms: int, count: Count
) -> tuple[tuple[Firing, ...], int]:
    """What is run of the ticks that were missed, and how many are not."""
    if schedule.missed == "skip":
        return (), count.number
    if schedule.missed == "run_all":
        kept = latest_ticks(schedule, last_ms, latest_ms, schedule.most)
        firings = tuple(
            Firing(tick_ms=tick, missed=1, first_missed_ms=tick, last_missed_ms=tick)
            for tick in kept
        )
        return firings, count.number - len(kept)
    once = Firing(
        tick_ms=latest_ms,
        missed=count.number,
        first_missed_ms=next_tick(schedule, last_ms),
        last_missed_ms=latest_ms,
    )
    return (once,), 0
