"""Time zones: by name, and the stretches in which their clocks run on without a change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

SAVING_MAX_S: Final = 3 * 60 * 60
"""A smaller change of the clock is daylight saving to Debian's cron, any other a correction."""

_DAY_S: Final = 86_400
_LAST_YEAR: Final = 9998


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time without a change of a zone's clock, a year at most; in seconds since the epoch."""

    start: int
    end: int
    offset: int
    """What local time is ahead of UTC."""
    before: int
    """The same, before `start`."""

    def first_local(self, *, is_fixed: bool) -> int:
        """The local time at which the runs of this stretch begin, counted as if it were UTC.

        Runs at fixed times go by a clock that is not put on or back: those that were skipped
        belong to this stretch, and those of the hour that is repeated are over.
        """
        put_on = self.offset - self.before
        is_saving = -SAVING_MAX_S <= put_on < SAVING_MAX_S
        return self.start + (self.before if is_fixed and is_saving else self.offset)


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The time zone of this name.

    Raises:
        ValueError: there is none.
    """
    if not isinstance(name, str):
        raise ValueError(f'{name!r} is no name of a time zone: write one, as in "Europe/Berlin"')
    if name in ("localtime", "posixrules", "Factory"):
        raise ValueError(f'{name} is another zone on each machine: write one, or "UTC"')
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder
        raise ValueError(f"no time zone has the name {name!r}: {_advice(name)}") from None


def stretches(tz: ZoneInfo, since: int) -> Iterator[Stretch]:
    """The stretches of a zone, in order, from one that has `since` in it or ends just before.

    `since` in seconds since the epoch. The first one's start is not told further back than two
    days, before which no change can matter.
    """
    start = since - 2 * _DAY_S
    offset = before = _offset(tz, start)
    for year in range(_year(start), _LAST_YEAR):
        # A zone may have no further change: its years are told one by one.
        for at in (*_changes(tz, year), _start_of(year + 1)):
            if at > start:
                yield Stretch(start=start, end=at, offset=offset, before=before)
                start, before, offset = at, offset, _offset(tz, at)


@lru_cache(maxsize=4096)
def _changes(tz: ZoneInfo, year: int) -> tuple[int, ...]:
    """When the clock of a zone is put on or back in a year: the first second with the new time."""
    begin, end = _start_of(year), _start_of(year + 1)
    found = []
    for day in range(begin, end, _DAY_S):
        low, high = day, min(day + _DAY_S, end)
        if _offset(tz, low) == _offset(tz, high):
            continue  # no zone puts its clock and takes it back within a day
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(tz, middle) == _offset(tz, low):
                low = middle
            else:
                high = middle
        found.append(high)
    return tuple(found)


def _offset(tz: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, tz).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


def _year(at: int) -> int:
    return datetime.fromtimestamp(at, UTC).year


def _start_of(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def _advice(name: str) -> str:
    known = {each.lower(): each for each in available_timezones()}
    cities: dict[str, str] = {}
    for each in sorted(known.values()):
        if "/" in each:
            cities.setdefault(each.rpartition("/")[2].lower(), each)
    wanted = name.strip().lower().replace(" ", "_")
    found = [known[near] for near in get_close_matches(wanted, known, n=1, cutoff=0.8)]
    found = found or [cities[near] for near in get_close_matches(wanted, cities, n=2, cutoff=0.8)]
    if found:
        return f"did you mean {' or '.join(found)}?"
    return 'write one as in "Europe/Berlin" or "America/New_York", or "UTC"'
