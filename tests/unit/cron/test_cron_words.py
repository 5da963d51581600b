"""Words say what a pattern asks for, and never the same of two that differ."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_schedules import cron_patterns

from streams.cron.pattern import Pattern, parse
from streams.cron.schedule import Cron, Every
from streams.cron.words import words


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("0 7 * * mon-fri", "at 07:00, Monday to Friday"),
        ("0,30 7 * * *", "at 07:00 and 07:30, every day"),
        ("*/5 * * * *", "every 5 minutes"),
        ("*/10 9-17 1 * *", "every 10 minutes between 09:00 and 17:59, on the 1st of the month"),
        ("* * * * *", "every minute"),
        ("@hourly", "every hour"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00"),
        ("0 */2 * * *", "every 2 hours"),
        ("*/25 * * * *", "at minutes 0, 25 and 50 of every hour"),
        ("30 1-9 * * *", "at minute 30 in hours 1 to 9, every day"),
        ("@weekly", "at 00:00, Sunday"),
        ("@monthly", "at 00:00, on the 1st of the month"),
        ("@yearly", "at 00:00, on the 1st of January"),
        ("0 0 22,23 dec *", "at 00:00, on the 22nd and 23rd of December"),
        ("0 0 13 * fri", "at 00:00, on the 13th of the month, and besides on each Friday"),
        ("0 0 1-7 * */7", "at 00:00, on the 1st to 7th of the month, if that falls on Sunday"),
        ("0 0 1 * 0-7", "at 00:00, every day"),  # no star: one kind of day is enough
        ("0 0 L * *", "at 00:00, on the last day of the month"),
        ("0 0 LW mar *", "at 00:00, on the last weekday (Monday to Friday) of March"),
        ("0 0 * * fri#2", "at 00:00, the second Friday of the month"),
        ("0 0 * * 1,5L", "at 00:00, Monday and the last Friday of the month"),
        ("0 0 * feb mon", "at 00:00, Monday in February"),
        ("* * * * * *", "every second"),
        ("15 30 7 * * *", "at 07:30:15, every day"),
        ("5 * * * * *", "at second 5 of every minute"),
        ("* 30 7 * * *", "every second of the minute 07:30"),
    ],
)
def test_a_pattern_in_words(pattern: str, told: str) -> None:
    assert words(Cron(pattern)) == f"{told}, UTC"
    assert words(Cron(pattern, tz="Europe/Berlin")) == f"{told}, Europe/Berlin time"


@pytest.mark.parametrize(
    ("duration", "told"),
    [
        ("1s", "every second"),
        ("90s", "every 90 seconds"),
        ("60m", "every hour"),
        ("7d", "every 7 days"),
    ],
)
def test_an_interval_in_words(duration: str, told: str) -> None:
    assert words(Every(duration)) == told


@settings(deadline=None, max_examples=80)
@given(st.lists(cron_patterns, min_size=2, max_size=40))
def test_patterns_that_differ_are_told_in_other_words(patterns: list[str]) -> None:
    meant: dict[str, object] = {}
    for pattern in patterns:
        told = words(Cron(pattern))
        assert meant.setdefault(told, _meaning(parse(pattern))) == _meaning(parse(pattern)), told


def _meaning(pattern: Pattern) -> object:
    """What decides on which days and at what times it runs."""
    days, weekdays = pattern.days, pattern.weekdays
    all_days, all_weekdays = len(days.numbers) == 31, len(weekdays.numbers) == 7
    is_either = not pattern.needs_both_days
    of_days: object = (days.numbers, days.last_day, days.last_workday)
    of_weekdays: object = (weekdays.numbers, weekdays.nth)
    if is_either and (all_days or all_weekdays):
        of_days = of_weekdays = "all"
    elif not is_either:
        of_days = "all" if all_days else of_days
        of_weekdays = "all" if all_weekdays else of_weekdays
    is_told = "all" not in (of_days, of_weekdays) and is_either
    clock = (pattern.seconds.numbers, pattern.minutes.numbers, pattern.hours.numbers)
    return (*clock, of_days, of_weekdays, is_told, pattern.months.numbers)
