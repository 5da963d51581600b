"""What an application writes to have a job run by the clock, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from streams.cron.spelling import in_code
from streams.durations import Duration, to_ms

Missed = Literal["skip", "run_once", "run_all"]
Overlap = Literal["allow", "skip", "queue", "cancel_previous"]

MOST: Final = 100
"""How many missed ticks `run_all` runs, if nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be said of all schedules.

    `jitter`: each run is put off by up to this long, by the same time wherever it is reckoned.
    `start`, `end`: no run before the one, none at the other or later; with a time zone.
    `missed`: what becomes of runs whose time passed while nobody was there to start them: `skip`
    them, `run_once` for all of them, or `run_all`, but at most the latest `most`.
    `overlap`: what a run does that finds the one before it still open: `allow` both, `skip` it,
    `queue` it behind, or `cancel_previous`.
    """

    jitter: Duration | None = None
    start: datetime | None = None
    end: datetime | None = None
    missed: Missed = "run_once"
    overlap: Overlap = "skip"
    most: int = MOST

    @property
    def jitter_ms(self) -> int:
        """The most that a run is put off, in milliseconds."""
        return 0 if self.jitter is None else to_ms(self.jitter)

    @property
    def start_ms(self) -> int | None:
        """The first moment at which it may run, in milliseconds since the epoch."""
        return None if self.start is None else to_epoch_ms(self.start)

    @property
    def end_ms(self) -> int | None:
        """The first moment at which it no longer runs, in milliseconds since the epoch."""
        return None if self.end is None else to_epoch_ms(self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron(Options):
    """Runs whenever the clock of a time zone fits a pattern: `Cron("0 7 * * mon-fri", tz=...)`.

    The pattern has five fields, or six with the second first, or is one of @yearly, @monthly,
    @weekly, @daily and @hourly; see `streams.cron.pattern`. What happens when the clock is put on
    or back is said in `streams.cron.wall`. The other options: `Options`.
    """

    pattern: str = field(kw_only=False)
    tz: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Every(Options):
    """Runs at a fixed distance: `Every("10m")`.

    It counts from `start` if there is one, else from the epoch (1970, UTC), so that all workers
    agree. The other options: `Options`.
    """

    duration: Duration = field(kw_only=False)

    def __new__(cls, *given: Any, **options: Any) -> Every:
        """Refuse a zone, which `Cron` has: nobody could tell what was meant by it."""
        if "tz" in options:
            every = ", ".join(in_code("every", each) for each in given) or "Every(...)"
            raise TypeError(
                f"{every} with {in_code('tz', options['tz'])}: an interval has no time zone, it "
                "counts from its start=; leave tz= out, or write a pattern, as in "
                f'Cron("0 7 * * *", {in_code("tz", options["tz"])})'
            )
        return object.__new__(cls)

    @property
    def ms(self) -> int:
        """The distance, in milliseconds."""
        return to_ms(self.duration)


Schedule = Cron | Every


def to_epoch_ms(moment: datetime) -> int:
    """Milliseconds since the epoch; what is between two of them is the later one."""
    return -(-round(moment.timestamp() * 1_000_000) // 1_000)
