"""What the handler of a schedule receives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import AwareDatetime, ConfigDict

from streams.contracts import JobPayload
from streams.cron.missed import Firing
from streams.cron.schedule import Cron, Schedule
from streams.cron.zone import zone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NO_JOB: Final = (
    "a Tick is what the clock enqueues for a handler that takes one: `streams cron run NAME` runs "
    "a schedule now; in code its handler makes a job, handler.payload(schedule=..., time=...)"
)
"""What to say to whoever enqueues a `Tick` that belongs to no handler."""


class Tick(JobPayload):
    """One run of a schedule: the time it is for, which is not the time at which it runs.

    Times are in the zone of the schedule. `missed`: how many ticks this run stands for whose time
    passed while nobody was there to start them, itself among them, from `first_missed` to
    `last_missed`; 0 for a run on time. `is_manual`: somebody started it by hand.
    """

    model_config = ConfigDict(frozen=True)

    schedule: str
    time: AwareDatetime
    first_missed: AwareDatetime | None = None
    last_missed: AwareDatetime | None = None
    missed: int = 0
    is_manual: bool = False

    def __str__(self) -> str:
        """`Tick(daily_report, 2026-11-30T07:00:00+01:00)`, and what is unusual about it."""
        told = [self.schedule, self.time.isoformat()]
        if self.missed:
            told.append(f"missed={self.missed}")
        if self.is_manual:
            told.append("is_manual=True")
        return f"Tick({', '.join(told)})"


def misfit(kind: type[Tick], field: str, why: str) -> str:
    """What to say to whoever enqueues a job that takes a tick, with fields that make none."""
    name = kind.__job_name__ or kind.__name__
    return (
        f"{name} takes a Tick, which the clock makes: `streams cron run {name}` runs it now (if it "
        f"has no schedule, `streams cron add` gives it one); {field or 'the payload'}: {why}"
    )


def make_tick(schedule: Schedule, name: str, firing: Firing) -> Tick:
    """The tick that a handler receives for what was decided."""
    return Tick(
        schedule=name,
        time=local_time(schedule, firing.tick_ms),
        first_missed=_local_or_none(schedule, firing.first_missed_ms),
        last_missed=_local_or_none(schedule, firing.last_missed_ms),
        missed=firing.missed,
    )


def local_time(schedule: Schedule, ms: int) -> datetime:
    """A time since the epoch, in the zone of the schedule (UTC for intervals)."""
    tz = zone(schedule.tz) if isinstance(schedule, Cron) else UTC
    return (_EPOCH + timedelta(milliseconds=ms)).astimezone(tz)


def _local_or_none(schedule: Schedule, ms: int | None) -> datetime | None:
    return None if ms is None else local_time(schedule, ms)
