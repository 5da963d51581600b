"""A handler learns which time it runs for, in the zone of its schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from streams.cron.missed import Firing
from streams.cron.schedule import Cron, Every
from streams.cron.tick import Tick, make_tick

SEVEN = int(datetime(2026, 11, 30, 6, tzinfo=UTC).timestamp() * 1_000)


def test_times_are_in_the_zone_of_the_schedule() -> None:
    firing = Firing(
        tick_ms=SEVEN, missed=3, first_missed_ms=SEVEN - 2 * 86_400_000, last_missed_ms=SEVEN
    )

    tick = make_tick(Cron("0 7 * * *", tz="Europe/Berlin"), "daily_report", firing)

    assert tick.schedule == "daily_report"
    assert tick.time.isoformat() == "2026-11-30T07:00:00+01:00"
    assert tick.first_missed is not None
    assert tick.first_missed.isoformat() == "2026-11-28T07:00:00+01:00"
    assert (tick.last_missed, tick.missed, tick.is_manual) == (tick.time, 3, False)


def test_a_tick_comes_through_json_as_it_was() -> None:
    tick = make_tick(Every("10m"), "often", Firing(tick_ms=SEVEN + 1))

    assert tick.time == datetime(2026, 11, 30, 6, tzinfo=UTC) + timedelta(milliseconds=1)
    assert Tick.model_validate_json(tick.model_dump_json()) == tick


def test_a_tick_is_frozen_and_its_time_has_a_zone() -> None:
    tick = Tick(schedule="a", time=datetime(2026, 1, 1, tzinfo=UTC))

    with pytest.raises(ValidationError):
        tick.missed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Tick(schedule="a", time=datetime(2026, 1, 1))


def test_a_tick_prints_as_one() -> None:
    seven = make_tick(Cron("0 7 * * *", tz="Europe/Berlin"), "daily_report", Firing(tick_ms=SEVEN))

    assert str(seven) == "Tick(daily_report, 2026-11-30T07:00:00+01:00)"
    late = seven.model_copy(update={"missed": 3, "is_manual": True})
    assert f"{late}".endswith("+01:00, missed=3, is_manual=True)")
