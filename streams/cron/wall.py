"""When a pattern fits in a zone, through the changes of its clock. Pure.

As Debian's cron does it. Patterns that name minutes and hours run at fixed times: those that a
clock which is put on skips run right after the change (several of them once), and in an hour that
is repeated they run the first time only. All others, whose minutes or hours begin with a star, go
by what the clock on the wall says: not in a skipped hour, twice in a repeated one. Seconds make no
difference to that. A change of three hours or more is a correction: what it skips does not run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from streams.cron.pattern import Pattern
from streams.cron.zone import stretches

_EPOCH: Final = datetime(1970, 1, 1)
_LEAP_YEAR: Final = 1_704_067_200  # 2024


def times(pattern: Pattern, tz: ZoneInfo, after: int) -> Iterator[int]:
    """All times later than `after`, in order, as long as there is one within fifty years."""
    last = after
    searched = found = 0  # no local time from the one up to the other fits
    for stretch in stretches(tz, after):
        if stretch.end <= after:
            continue
        low = stretch.first_local(is_fixed=pattern.is_fixed)
        if after >= stretch.start:
            low = max(low, after + 1 + stretch.offset)
        limit = stretch.end + stretch.offset
        if searched <= low and limit <= found:
            continue
        for local in _locals(pattern, low):
            if local >= limit:
                searched, found = limit, local
                break
            at = max(stretch.start, local - stretch.offset)
            if at > last:
                yield at
                last = at
        else:
            return


def distance(pattern: Pattern) -> int | None:
    """The least time between two that follow each other, in seconds; None if there is but one.

    Of the first 2,000 in a leap year, by a clock that is never changed.
    """
    some = list(islice(_locals(pattern, _LEAP_YEAR), 2_000))
    return min((later - earlier for earlier, later in pairwise(some)), default=None)


def _locals(pattern: Pattern, low: int) -> Iterator[int]:
    """The local times that fit, from `low` on, counted as if they were UTC."""
    for fitting in CronSim(pattern.expression, _EPOCH + timedelta(seconds=low - 1)):
        yield int((fitting - _EPOCH).total_seconds())
