"""A schedule in plain words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Final

from streams.cron.field import HOUR, LAST, MINUTE, SECOND, Field, Values
from streams.cron.pattern import Pattern, parse
from streams.cron.schedule import Every, Schedule
from streams.durations import format_ms

_TIMES_MAX: Final = 6
"""More times of the day than these are not told one by one."""

_WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_PLACES: Final = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_UNITS: Final = {"d": "day", "h": "hour", "m": "minute", "s": "second", "ms": "millisecond"}


def words(schedule: Schedule) -> str:
    """When it runs: "at 07:00, Monday to Friday, Europe/Berlin time"; "every 10 minutes".

    Two patterns that ask for different times are never told in the same words.
    """
    if isinstance(schedule, Every):
        return _every(schedule.ms)
    pattern = parse(schedule.pattern)
    zone = "UTC" if schedule.tz == "UTC" else f"{schedule.tz} time"
    return ", ".join(part for part in (_time(pattern), _date(pattern), zone) if part)


def _every(ms: int) -> str:
    written = format_ms(ms)
    number = int(written.rstrip("dhms"))
    unit = _UNITS[written.lstrip("0123456789")]
    return f"every {unit}" if number == 1 else f"every {number} {unit}s"


def _time(pattern: Pattern) -> str:
    seconds, minutes, hours = (
        tuple(sorted(values.numbers))
        for values in (pattern.seconds, pattern.minutes, pattern.hours)
    )
    if len(hours) * len(minutes) * len(seconds) <= _TIMES_MAX:
        times = product(hours, minutes, seconds)
        return f"at {_list(_clock(*time, shows_second=seconds != (0,)) for time in times)}"
    if seconds == (0,):
        return _minutes(minutes, hours)
    told = _steps(SECOND, seconds) or f"at {_numbers(SECOND, seconds)}"
    if len(minutes) == 60 and len(hours) == 24:
        return told if told.startswith("every") else f"{told} of every minute"
    if len(minutes) * len(hours) <= _TIMES_MAX:
        clocks = [_clock(*time) for time in product(hours, minutes)]
        return f"{told} of the minute{'s' * (len(clocks) > 1)} {_list(clocks)}"
    return f"{told} of the minutes that come {_minutes(minutes, hours)}"


def _minutes(minutes: tuple[int, ...], hours: tuple[int, ...]) -> str:
    """The minutes of a day at which it runs, if these are many."""
    steps = _steps(MINUTE, minutes)
    is_range = hours == tuple(range(hours[0], hours[-1] + 1))
    if steps and is_range:
        between = f" between {hours[0]:02d}:00 and {hours[-1]:02d}:59"
        return steps if len(hours) == 24 else steps + between
    if minutes == (0,):
        if is_range:
            return (
                f"every hour from {hours[0]:02d}:00 to {hours[-1]:02d}:00" * (len(hours) < 24)
                or "every hour"
            )
        if told := _steps(HOUR, hours):
            return told
    told = steps or f"at {_numbers(MINUTE, minutes)}"
    if len(hours) == 24:
        return f"{told} of every hour"
    return f"{told} in {_numbers(HOUR, hours)}"


def _steps(field: Field, numbers: tuple[int, ...]) -> str | None:
    """ "every 5 minutes", where that is what it is: all through, with no odd rest at the end."""
    size = field.high + 1
    step = size // len(numbers)
    if numbers != tuple(range(0, size, step)) or len(numbers) == 1:
        return None
    return f"every {field.name}" if step == 1 else f"every {step} {field.name}s"


def _numbers(field: Field, numbers: tuple[int, ...]) -> str:
    return f"{field.name}{'s' * (len(numbers) > 1)} {_ranges(numbers, str)}"


def _date(pattern: Pattern) -> str:
    days, weekdays, months = pattern.days, pattern.weekdays, pattern.months.numbers
    every_day = len(days.numbers) == 31
    every_weekday = len(weekdays.numbers) == 7
    in_months = "" if len(months) == 12 else _months(months)
    if (every_day and every_weekday) or (
        (every_day or every_weekday) and not pattern.needs_both_days
    ):
        return f"every day in {in_months}" if in_months else ("every day" * _is_daily(pattern))
    of = f"of {in_months}" if in_months else "of the month"
    if every_day:
        return _weekdays(weekdays, of) + (f" in {in_months}" if in_months else "")
    on = f"on {_days(days)} {of}"
    if every_weekday:
        return on
    if pattern.needs_both_days:
        return f"{on}, if that falls on {_weekdays(weekdays, of)}"
    rest = f" in {in_months}" if in_months else ""
    return f"{on}, and besides on each {_weekdays(weekdays, of)}{rest}"


def _is_daily(pattern: Pattern) -> bool:
    """It needs to be said that it runs each day: what it says of the time is a time of the day."""
    return _time(pattern).startswith("at ") and len(pattern.hours.numbers) < 24


def _days(days: Values) -> str:
    told = []
    if days.numbers:
        told.append(f"the {_ranges(tuple(sorted(days.numbers)), _ordinal)}")
    if days.last_day:
        told.append("the last day")
    if days.last_workday:
        told.append("the last weekday (Monday to Friday)")
    return _list(told)


def _weekdays(weekdays: Values, of: str) -> str:
    # The week begins with Monday here, so that a weekend is a range.
    numbers = tuple(sorted((number + 6) % 7 for number in weekdays.numbers))
    told = [_ranges(numbers, lambda number: _WEEKDAYS[(number + 1) % 7])] if numbers else []
    nth = sorted(weekdays.nth, key=lambda each: (each[1] == LAST, each[1], each[0]))
    places = [f"the {_PLACES[place]} {_WEEKDAYS[day]} {of}" for day, place in nth]
    return _list(told + places)


def _months(months: frozenset[int]) -> str:
    return _ranges(tuple(sorted(months)), lambda number: _MONTHS[number - 1])


def _ranges(numbers: tuple[int, ...], tell: Callable[[int], str]) -> str:
    """ "1, 3 to 5 and 9"; a range has three or more."""
    told: list[str] = []
    rest = list(numbers)
    while rest:
        end = 1
        while end < len(rest) and rest[end] == rest[0] + end:
            end += 1
        if end > 2:
            told.append(f"{tell(rest[0])} to {tell(rest[end - 1])}")
        else:
            end = 1
            told.append(tell(rest[0]))
        rest = rest[end:]
    return _list(told)


def _list(told: Iterable[str]) -> str:
    *most, last = told
    return f"{', '.join(most)} and {last}" if most else last


def _clock(hour: int, minute: int, second: int = 0, *, shows_second: bool = False) -> str:
    return f"{hour:02d}:{minute:02d}" + (f":{second:02d}" if shows_second else "")


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number in (11, 12, 13) else ending}"
