"""Schedules run when Debian's cron would start them; see debian/README.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

import pytest

from streams.cron.schedule import Cron
from streams.cron.ticks import ticks_between
from streams.cron.zone import zone

EXPECTED = json.loads((Path(__file__).parent / "debian" / "expected.json").read_text())
DAY = 24 * 60
COUNTED_MAX = 1_900
"""Runs of a pattern that are compared in all five years; of others those around the changes."""


@pytest.fixture(autouse=True, scope="module")
def zones_of_the_package() -> Iterator[None]:
    """The zones as they were when this was made, whatever the machine has."""
    reset_tzpath(to=())
    ZoneInfo.clear_cache()
    zone.cache_clear()
    yield
    reset_tzpath()
    ZoneInfo.clear_cache()
    zone.cache_clear()


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda each: str(each["zone"]))
def test_runs_are_those_of_debian(expected: dict[str, Any]) -> None:
    begin, end, changes = expected["begin"], expected["end"], expected["changes"]

    for run in expected["runs"]:
        schedule = Cron(run["pattern"], tz=expected["zone"])

        near = [
            minute
            for since, until in _windows(changes)
            for minute in _minutes(schedule, max(since, begin), min(until, end))
        ]
        assert run.get("times", near) == near, run["pattern"]
        assert (len(near), _digest(near)) == (run["near_count"], run["near"]), run["pattern"]
        if run["count"] <= COUNTED_MAX:
            every = _minutes(schedule, begin, end)
            assert (len(every), _digest(every)) == (run["count"], run["all"]), run["pattern"]


def test_the_sample_is_large() -> None:
    runs = [run for expected in EXPECTED for run in expected["runs"]]

    assert len({expected["zone"] for expected in EXPECTED}) >= 10
    assert len(runs) >= 500
    assert sum(run["count"] <= COUNTED_MAX for run in runs) >= 200
    assert sum(run["near_count"] for run in runs) >= 300_000


def _windows(changes: list[int]) -> list[tuple[int, int]]:
    """The days around each change: from the first of two minutes, until before the second one."""
    windows: list[tuple[int, int]] = []
    for at in changes:
        since, until = at - DAY, at + DAY + 1
        if windows and since < windows[-1][1]:
            windows[-1] = (windows[-1][0], until)
        else:
            windows.append((since, until))
    return windows


def _minutes(schedule: Cron, since: int, until: int) -> list[int]:
    ticks = ticks_between(schedule, since * 60_000 - 1, until * 60_000 - 1)
    return [tick // 60_000 for tick in ticks]


def _digest(minutes: list[int]) -> str:
    return hashlib.sha256(",".join(map(str, minutes)).encode()).hexdigest()[:16]
