"""The job of a call is that of the clock's latest tick."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from streams.cron.missed import Firing
from streams.cron.schedule import Cron, Every, Schedule
from streams.schedules.calls import called_envelope
from streams.worker.schedules import Planned, tick_envelope


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def planned(schedule: Schedule, payload: bytes | None = None) -> Planned:
    return Planned(
        name="report",
        schedule=schedule,
        job="report",
        queue="bulk",
        key="report:report",
        payload=payload,
    )


@pytest.mark.parametrize(
    ("schedule", "now", "tick"),
    [
        (Cron("0 7 * * *"), "2026-05-03T07:00:00", "2026-05-03T07:00:00"),
        (Cron("0 7 * * *"), "2026-05-04T06:59:59.999", "2026-05-03T07:00:00"),
        (Cron("0 7 * * *", tz="Europe/Berlin"), "2026-05-03T06:00", "2026-05-03T05:00:00"),
        (Cron("0 0 29 2 *"), "2027-06-01T00:00", "2024-02-29T00:00:00"),
        (Every("90s"), "1970-01-01T00:04:29", "1970-01-01T00:03:00"),
        (Every("1h", jitter="30m"), "2026-05-03T07:00:01", "2026-05-03T07:00:00"),
        # before the first tick it is the minute's
        (
            Every("1h", start=datetime(2026, 6, 1, tzinfo=UTC)),
            "2026-05-03T07:04:59",
            "2026-05-03T07:04:00",
        ),
        # after the last one it is that
        (
            Every("1h", end=datetime(2026, 5, 1, tzinfo=UTC)),
            "2026-05-03T07:04:59",
            "2026-04-30T23:00:00",
        ),
    ],
)
def test_a_call_is_for_the_latest_tick(schedule: Schedule, now: str, tick: str):
    envelope = called_envelope(planned(schedule), at(now))
    assert envelope.id == f"report:{tick}Z"
    assert envelope.time == at(tick)
    assert datetime.fromisoformat(orjson.loads(envelope.payload)["time"]).timestamp() * 1000 == (
        at(tick)
    )


def test_it_is_the_job_that_a_worker_enqueues():
    schedule = Cron("*/5 * * * *")
    for payload in (None, b'{"account":7}'):
        of = planned(schedule, payload)
        called = called_envelope(of, at("2026-05-03T07:04:00"))
        assert called == tick_envelope(of, Firing(tick_ms=at("2026-05-03T07:00:00")))
