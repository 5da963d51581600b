"""What contradicts in a schedule is told, all at once, with what to write instead."""

from __future__ import annotations

import pickle
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.cron.options import schedule_mistakes
from streams.cron.schedule import Cron, Every
from streams.cron.spelling import in_a_shell

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "schedule",
    [
        Cron("0 7 * * mon-fri", tz="Europe/Berlin", missed="run_all", most=5, overlap="queue"),
        Cron("*/5 * * * *", jitter="4m"),
        Cron("0 0 * * *", jitter=timedelta(hours=23), start=START),
        Cron("0 0 1 1 *", start=START, end=START + timedelta(seconds=1)),
        Every("1s"),
        Every(timedelta(minutes=90), jitter="1h", end=START),
        Every("10m", start=START, end=START + timedelta(seconds=1)),
    ],
)
def test_what_fits_has_no_mistakes(schedule: Any) -> None:
    assert schedule_mistakes(schedule) == []


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ("0 7 * * *", 'is no schedule: write cron=Cron("0 7 * * mon-fri") or Every("10m")'),
        (Cron("60 * * * *"), "60 is no minute: write 0-59 (minute, column 1)"),
        (Cron("* * * * *", tz="Europe/Berln"), "did you mean Europe/Berlin?"),
        (Every("soon"), "Every: 'soon' is no duration"),
        (Every("-5m"), "Every: -5m is negative"),
        (Every("999ms"), 'Every("999ms") is shorter than a second'),
        (Every("10m", start=datetime(2026, 1, 1)), "has no time zone: write datetime(..., tzinfo"),
        (Every("10m", end="2026-01-01"), "write a datetime with a time zone"),  # type: ignore[arg-type]
        (Every("10m", missed="run_one"), 'missed="run_one": did you mean missed="run_once"?'),  # type: ignore[arg-type]
        (Every("10m", overlap="replace"), "write one of allow, skip, queue, cancel_previous"),  # type: ignore[arg-type]
        (Every("10m", missed="run_all", most=0), "most=0 is no number from 1 to 10000"),
        (Every("10m", most=5), 'most=5 bounds missed="run_all", and missed is run_once'),
        (Every("10m", jitter="much"), "jitter: 'much' is no duration"),
        (Every("10m", jitter="0s"), 'jitter="0s" puts nothing off: write jitter="30s"'),
        (Every("10m", jitter="10m"), "past the next one, which comes 10m later"),
        (Cron("*/5 * * * *", jitter="5m"), "which comes 5m later"),
        (Cron("0,50 9 * * *", jitter="1h"), "which comes 50m later"),
        (Cron("0 0,23 * * *", jitter="2h"), "which comes 1h later"),
        (Every("10m", start=START, end=START), "is not later than start=2026-01-01T00:00"),
        (Cron("0 0 2 1 *", start=START, end=START + timedelta(days=1)), "make end later"),
    ],
)
def test_a_mistake_says_what_to_write(schedule: Any, told: str) -> None:
    [mistake] = schedule_mistakes(schedule)

    assert told in mistake


def test_all_mistakes_are_told_at_once() -> None:
    wrong = Cron("* * * *", tz="Mars", jitter="x", start=datetime(2026, 1, 1), missed="no")  # type: ignore[arg-type]

    assert len(schedule_mistakes(wrong)) == 5


def test_schedules_are_values() -> None:
    assert Cron("@daily", tz="Europe/Berlin") == Cron("@daily", tz="Europe/Berlin")
    assert hash(Every("10m", start=START)) == hash(Every("10m", start=START))
    assert (Cron("@daily").tz, Cron("@daily").missed, Cron("@daily").overlap) == (
        "UTC",
        "run_once",
        "skip",
    )


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (Every("0.5s"), "--every 0.5s is shorter than a second"),
        (Every("-5m"), "--every: -5m is negative"),
        (Cron("* * * * *", tz="Europe/Berln"), "--tz: no time zone has the name 'Europe/Berln'"),
        (Every("10m", missed="run_one"), "--missed run_one: did you mean --missed run_once?"),  # type: ignore[arg-type]
        (Every("10m", most=5), "--most 5 bounds --missed run_all, and --missed is run_once"),
        (Every("10m", jitter="0s"), "--jitter 0s puts nothing off: write --jitter 30s"),
        (
            Every("10m", start=START, end=START),
            "--end 2026-01-01T00:00:00+00:00 is not later than --start 2026-01-01T00:00:00+00:00",
        ),
    ],
)
def test_in_a_shell_options_are_told_as_they_are_written_there(schedule: Any, told: str) -> None:
    [mistake] = schedule_mistakes(schedule, in_a_shell)

    assert mistake.startswith(told)


def test_an_interval_has_no_zone() -> None:
    with pytest.raises(
        TypeError, match=r'Every\("10m"\) with tz="UTC": an interval has no time zone'
    ):
        Every("10m", tz="UTC")  # type: ignore[call-arg]
    # which is all that is looked at
    again = Every("10m", jitter="1s")
    assert copy(again) == pickle.loads(pickle.dumps(again)) == again == replace(again, start=None)
