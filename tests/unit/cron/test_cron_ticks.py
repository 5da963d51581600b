"""Ticks come in order, none is left out, and whoever reckons them comes to the same."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_schedules import cron_patterns, moments, schedules, zone_names

from streams.cron.pattern import parse
from streams.cron.schedule import Cron, Every, Schedule
from streams.cron.ticks import (
    COUNTED_MAX,
    Count,
    count_ticks,
    due_at,
    latest_ticks,
    next_tick,
    tick_id,
    ticks_between,
)

DAY = 86_400_000


def _ms(*when: int, tz: str = "UTC", fold: int = 0) -> int:
    return int(datetime(*when, tzinfo=ZoneInfo(tz), fold=fold).timestamp() * 1_000)  # type: ignore[misc,arg-type]


def _local(schedule: Cron, after_ms: int, number: int) -> list[str]:
    found = []
    for _ in range(number):
        after = next_tick(schedule, after_ms)
        assert after is not None
        after_ms = after
        moment = datetime.fromtimestamp(after_ms / 1_000, ZoneInfo(schedule.tz))
        found.append(moment.strftime("%a %d %H:%M:%S%z"))
    return found


def test_the_next_tick_is_later_than_now() -> None:
    schedule = Cron("0 7 * * mon-fri", tz="Europe/Berlin")

    assert _local(schedule, _ms(2026, 11, 27, 6), 2) == [
        "Mon 30 07:00:00+0100",
        "Tue 01 07:00:00+0100",
    ]


@pytest.mark.parametrize("seconds", ["", "0 "])
def test_fixed_times_run_once_through_both_changes(seconds: str) -> None:
    schedule = Cron(f"{seconds}30 2 * * *", tz="Europe/Berlin")

    assert _local(schedule, _ms(2026, 3, 28, 12), 2) == [
        "Sun 29 03:00:00+0200",
        "Mon 30 02:30:00+0200",
    ]
    assert _local(schedule, _ms(2026, 10, 24, 12), 2) == [
        "Sun 25 02:30:00+0200",
        "Mon 26 02:30:00+0100",
    ]


def test_several_skipped_times_run_once_after_the_change() -> None:
    schedule = Cron("*/20 15,45 2,3 * * *", tz="Europe/Berlin")

    found = _local(schedule, _ms(2026, 3, 28, 12), 2)

    assert found == ["Sun 29 03:00:00+0200", "Sun 29 03:15:00+0200"]


def test_wildcards_go_by_the_clock_on_the_wall() -> None:
    schedule = Cron("30 * * * *", tz="Europe/Berlin")

    assert _local(schedule, _ms(2026, 3, 29, 0, 30), 2) == [
        "Sun 29 03:30:00+0200",
        "Sun 29 04:30:00+0200",
    ]
    assert _local(schedule, _ms(2026, 10, 24, 23, 31), 3) == [
        "Sun 25 02:30:00+0200",
        "Sun 25 02:30:00+0100",
        "Sun 25 03:30:00+0100",
    ]


def test_a_repeated_hour_runs_fixed_times_no_more() -> None:
    schedule = Cron("30 2 * * *", tz="Europe/Berlin")
    second_pass = _ms(2026, 10, 25, 2, 10, tz="Europe/Berlin", fold=1)

    assert _local(schedule, second_pass, 1) == ["Mon 26 02:30:00+0100"]


def test_days_that_are_rare_are_found() -> None:
    leap_monday = next_tick(Cron("0 0 29 2 */7"), _ms(2026, 1, 1))

    assert leap_monday == _ms(2032, 2, 29)
    assert next_tick(Cron("0 0 * 2 mon#5"), _ms(2026, 1, 1)) == _ms(2044, 2, 29)


def test_intervals_count_from_the_epoch_or_their_start() -> None:
    start = datetime(2026, 1, 1, 0, 7, tzinfo=UTC)

    assert next_tick(Every("10m"), _ms(2026, 1, 1, 0, 3)) == _ms(2026, 1, 1, 0, 10)
    assert next_tick(Every("10m", start=start), 0) == _ms(2026, 1, 1, 0, 7)
    assert next_tick(Every("10m", start=start), _ms(2026, 1, 1, 0, 7)) == _ms(2026, 1, 1, 0, 17)


def test_start_is_within_and_end_is_not() -> None:
    start, end = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)
    wanted = [_ms(2026, 1, 2), _ms(2026, 1, 3)]

    for schedule in (
        Cron("0 0 * * *", start=start, end=end),
        Every("1d", start=start, end=end),
    ):
        assert list(ticks_between(schedule, 0, _ms(2027, 1, 1))) == wanted
        assert next_tick(schedule, wanted[-1]) is None
        assert latest_ticks(schedule, 0, _ms(2027, 1, 1), 5) == wanted
        assert count_ticks(schedule, 0, _ms(2027, 1, 1)) == Count(number=2)


def test_an_interval_is_counted_by_arithmetic() -> None:
    month = 30 * DAY

    assert count_ticks(Every("1s"), 0, month) == Count(number=2_592_000)
    assert latest_ticks(Every("1s"), 0, month, 2) == [month - 1_000, month]


def test_the_latest_of_a_pattern_are_found_from_the_end() -> None:
    wanted = [DAY - 4 * 60_000, DAY - 3 * 60_000, DAY - 2 * 60_000, DAY - 60_000, DAY]

    assert latest_ticks(Cron("* * * * *"), 0, DAY, 5) == wanted


def test_a_pattern_is_counted_up_to_a_bound() -> None:
    assert count_ticks(Cron("* * * * *"), 0, DAY) == Count(number=1_440)
    assert count_ticks(Cron("* * * * * *"), 0, 30 * DAY) == Count(
        number=COUNTED_MAX, is_exact=False
    )


def test_a_tick_is_named_by_schedule_and_time() -> None:
    assert tick_id("daily_report", _ms(2026, 11, 30, 7)) == "daily_report:2026-11-30T07:00:00Z"
    assert tick_id("often", 1_500) == "often:1970-01-01T00:00:01.500Z"


@settings(deadline=None, max_examples=60)
@given(schedules, moments, st.integers(0, 20 * DAY))
def test_each_next_tick_is_in_between(schedule: Schedule, after: int, span: int) -> None:
    between = []
    for tick in ticks_between(schedule, after, after + span):
        between.append(tick)
        if len(between) == 50:
            break
    until = between[-1] if len(between) == 50 else after + span

    one_by_one, tick = [], next_tick(schedule, after)
    while tick is not None and tick <= until:
        one_by_one.append(tick)
        tick = next_tick(schedule, tick)

    assert one_by_one == between
    assert all(one < other for one, other in pairwise([after, *between]))


@settings(deadline=None, max_examples=60)
@given(schedules, moments, st.integers(0, 5 * 3_600_000), st.integers(1, 20))
def test_the_latest_are_the_end_of_all(
    schedule: Schedule, after: int, span: int, most: int
) -> None:
    every = list(ticks_between(schedule, after, after + span))

    assert latest_ticks(schedule, after, after + span, most) == every[-most:]
    is_exact = len(every) <= COUNTED_MAX or isinstance(schedule, Every)
    number = len(every) if is_exact else COUNTED_MAX
    assert count_ticks(schedule, after, after + span) == Count(number=number, is_exact=is_exact)


@settings(deadline=None, max_examples=80)
@given(cron_patterns, zone_names, moments)
def test_a_tick_fits_its_pattern_on_the_wall(pattern: str, tz: str, after: int) -> None:
    """Told by the fields alone; a fixed time that was skipped runs where the clock was put on."""
    tick = next_tick(Cron(pattern, tz=tz), after)
    if tick is None:
        return
    local = datetime.fromtimestamp(tick / 1_000, ZoneInfo(tz))
    read = parse(pattern)
    before = datetime.fromtimestamp(tick / 1_000 - 1, ZoneInfo(tz))
    was_put_on = (local.utcoffset() or 0) != (before.utcoffset() or 0)
    if not (was_put_on and read.is_fixed):
        assert local.second in read.seconds.numbers
        assert local.minute in read.minutes.numbers
        assert local.hour in read.hours.numbers
        assert local.month in read.months.numbers


@given(st.text(min_size=1, max_size=20), moments, st.integers(1, 3_000_000))
def test_jitter_is_within_its_bounds_and_the_same_for_all(
    name: str, tick: int, jitter_ms: int
) -> None:
    schedule = Cron("0 * * * *", jitter=f"{jitter_ms}ms")

    due = due_at(schedule, name, tick)

    assert tick <= due <= tick + jitter_ms
    assert due == due_at(Cron("0 * * * *", jitter=f"{jitter_ms}ms"), name, tick)


def test_jitter_differs_between_schedules_and_ticks_and_uses_its_room() -> None:
    schedule = Cron("0 * * * *", jitter="10m")
    waits = [due_at(schedule, "a", tick) - tick for tick in range(0, 100 * DAY, DAY)]

    assert waits != [due_at(schedule, "b", tick) - tick for tick in range(0, 100 * DAY, DAY)]
    assert min(waits) < 60_000
    assert max(waits) > 540_000
    # A worker of another version must come to the same.
    assert due_at(schedule, "daily_report", 1_796_022_000_000) == 1_796_022_091_923
