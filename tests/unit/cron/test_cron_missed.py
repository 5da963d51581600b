"""What was missed is run as the policy says, and every tick is accounted for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_schedules import moments, schedules

from streams.cron.missed import Due, Firing, decide
from streams.cron.schedule import Cron, Every, Missed, Schedule
from streams.cron.ticks import due_at, ticks_between

MINUTE = 60_000
GRACE = 5_000


def _missed(
    missed: Missed, *, most: int = 100, last: int = 0, now: int = 10 * MINUTE + 30_000
) -> Due:
    return decide(Every("1m", missed=missed, most=most), "often", last, now, GRACE)


def test_a_tick_on_time_stands_for_nothing_else() -> None:
    due = _missed("run_once", last=9 * MINUTE, now=10 * MINUTE + GRACE)

    assert due == Due(firings=(Firing(tick_ms=10 * MINUTE),), until_ms=10 * MINUTE)


def test_once_for_all_that_were_missed() -> None:
    late = Firing(
        tick_ms=10 * MINUTE,
        missed=10,
        first_missed_ms=1 * MINUTE,
        last_missed_ms=10 * MINUTE,
    )

    assert _missed("run_once") == Due(firings=(late,), until_ms=10 * MINUTE)


def test_what_is_missed_may_be_left() -> None:
    assert _missed("skip") == Due(skipped=10, until_ms=10 * MINUTE)


def test_all_that_were_missed_in_order_but_the_latest_only() -> None:
    due = _missed("run_all", most=3)

    assert [firing.tick_ms for firing in due.firings] == [8 * MINUTE, 9 * MINUTE, 10 * MINUTE]
    assert [firing.missed for firing in due.firings] == [1, 1, 1]
    assert due.skipped == 7
    assert due.until_ms == 10 * MINUTE


def test_what_is_on_time_runs_after_what_was_missed() -> None:
    due = _missed("run_once", now=10 * MINUTE)

    assert [(each.tick_ms, each.missed) for each in due.firings] == [
        (9 * MINUTE, 9),
        (10 * MINUTE, 0),
    ]


@pytest.mark.parametrize("now", [10 * MINUTE, 9 * MINUTE, 0])
def test_a_clock_that_steps_back_runs_nothing_twice(now: int) -> None:
    assert _missed("run_all", last=10 * MINUTE, now=now) == Due(until_ms=10 * MINUTE)


def test_a_month_of_seconds_is_counted_at_once() -> None:
    due = decide(Every("1s"), "often", 0, 30 * 86_400_000, 0)

    assert due.is_exact
    assert [firing.missed for firing in due.firings] == [2_592_000 - 1, 0]


def test_more_than_can_be_counted_is_told_as_such() -> None:
    due = decide(Cron("* * * * * *"), "often", 0, 30 * 86_400_000 + 500, 0)

    assert (due.is_exact, due.firings[0].missed) == (False, 10_000)
    assert due.firings[0].first_missed_ms == 1_000
    assert due.firings[0].last_missed_ms == 30 * 86_400_000


def test_a_tick_waits_for_its_jitter() -> None:
    schedule = Every("1m", jitter="50s")
    due_ms = due_at(schedule, "often", MINUTE)

    assert decide(schedule, "often", 0, due_ms - 1, GRACE) == Due(until_ms=0)
    for now in (due_ms, due_ms + GRACE):
        on_time = decide(schedule, "often", 0, now, GRACE)
        assert on_time == Due(firings=(Firing(tick_ms=MINUTE),), until_ms=MINUTE)
    assert decide(schedule, "often", 0, due_ms + GRACE + 1, GRACE).firings[0].missed == 1


@settings(deadline=None, max_examples=100)
@given(
    schedules,
    moments,
    st.integers(-3_600_000, 2 * 3_600_000) | st.integers(-3_600_000, 40 * 86_400_000),
    st.sampled_from(["skip", "run_once", "run_all"]),
    st.integers(0, 120_000),
    st.sampled_from([None, "1s"]),
    st.integers(1, 30),
)
def test_every_tick_is_run_or_skipped_or_stood_for(
    schedule: Schedule,
    last: int,
    span: int,
    missed: Missed,
    grace: int,
    jitter: str | None,
    most: int,
) -> None:
    if isinstance(schedule, Every) and schedule.ms == 1_000:
        jitter = None
    schedule = replace(schedule, missed=missed, jitter=jitter, most=most)
    now = last + span

    due = decide(schedule, "a", last, now, grace)

    ticks = []
    for tick in ticks_between(schedule, last, now):
        ticks.append(tick)
        if len(ticks) > 5_000:
            return
    over = [tick for tick in ticks if due_at(schedule, "a", tick) <= now]
    late = [tick for tick in over if now - due_at(schedule, "a", tick) > grace]
    on_time = [firing for firing in due.firings if not firing.missed]
    assert [firing.tick_ms for firing in on_time] == [tick for tick in over if tick not in late]
    assert sum(firing.missed for firing in due.firings) + due.skipped == len(late)
    assert due.until_ms == (over[-1] if over else last)
    fired = [firing.tick_ms for firing in due.firings]
    assert fired == sorted(set(fired))
    kept = {"skip": [], "run_once": late[-1:], "run_all": late[-most:]}[missed]
    assert fired[: len(fired) - len(on_time)] == kept
    # Deciding again changes nothing.
    assert decide(schedule, "a", due.until_ms, now, grace) == Due(until_ms=due.until_ms)


def test_a_tick_that_waits_for_its_jitter_is_not_lost_behind_a_later_one() -> None:
    # Where the clock is put on 01:30 and 02:30 are half an hour apart, which the jitter is not.
    schedule = Cron("30 1,2 * * *", tz="Europe/Berlin", jitter="50m")
    first = int(datetime(2026, 3, 29, 0, 30, tzinfo=UTC).timestamp() * 1_000)
    second = first + 30 * MINUTE
    assert list(ticks_between(schedule, first - 1, second)) == [first, second]
    name = next(
        name
        for name in map(str, range(1_000))
        if due_at(schedule, name, second) + 5 * MINUTE < due_at(schedule, name, first)
    )
    run, last = [], first - 1
    for now in range(first, second + 60 * MINUTE, 10_000):
        due = decide(schedule, name, last, now, 30_000)
        run += [firing.tick_ms for firing in due.firings]
        last = due.until_ms
    assert run == [first, second]
