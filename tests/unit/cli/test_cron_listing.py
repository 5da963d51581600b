"""How schedules are listed: what each runs next, how far it is, and its state."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from streams.cli.cron_listing import (
    as_json,
    block,
    fields,
    next_runs,
    pattern_of,
    row,
    show_times,
)
from streams.cli.output import TOGETHER
from streams.cron.schedule import Cron, Every, Schedule
from streams.schedules.book import Known, Origin
from streams.wire.schedules import Halt, Ticked
from streams.worker.schedules import Planned

NOW = int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000


def known(
    schedule: Schedule | None, ticked: Ticked | None = None, halt: Halt | None = None
) -> Known:
    planned = None
    if schedule is not None:
        planned = Planned(
            name="report", schedule=schedule, job="report", queue="bulk", key=None, payload=None
        )
    gone = None if ticked is None else ticked.gone
    unplanned: Origin = "elsewhere" if gone is None else "retired"
    return Known(
        name="report",
        origin=unplanned if planned is None else "code",
        queue="bulk",
        planned=planned,
        ticked=ticked,
        halt=halt,
    )


def ticked(last: int, *, gone: int | None = None) -> Ticked:
    return Ticked(last=last, shape="?", queue="bulk", fired=9, missed=3, skipped=1, gone=gone)


def test_next_runs_are_in_the_zone_of_the_schedule_through_its_change_of_the_clock():
    runs = next_runs(Cron("30 2 * * *", tz="Europe/Berlin"), NOW)
    assert [f"{run:%d %H:%M %z}" for run in runs] == [
        "29 03:00 +0200",  # the clock was put on from two to three
        "30 02:30 +0200",
        "31 02:30 +0200",
        "01 02:30 +0200",
        "02 02:30 +0200",
    ]


def test_next_runs_end_with_the_schedule():
    end = datetime(2026, 3, 28, 15, tzinfo=UTC)
    assert len(next_runs(Every("1h", end=end), NOW)) == 2


def test_times_say_as_much_of_their_date_as_is_new():
    berlin = ZoneInfo("Europe/Berlin")
    assert show_times([]) == ""
    assert (
        show_times(
            [
                datetime(2026, 12, 30, 7, tzinfo=berlin),
                datetime(2026, 12, 30, 7, 0, 30, tzinfo=berlin),
                datetime(2026, 12, 31, 7, tzinfo=berlin),
                datetime(2027, 1, 1, 7, tzinfo=berlin),
            ]
        )
        == "2026-12-30 07:00, 07:00:30, 12-31 07:00, 2027-01-01 07:00 CET"
    )


def test_a_pattern_is_told_with_its_zone_and_jitter():
    assert pattern_of(Cron("0 7 * * *", tz="Asia/Tokyo")) == "0 7 * * *, Asia/Tokyo"
    assert pattern_of(Every("90s", jitter="30s")) == "every 90s, up to 30s later"


def test_states():
    paused = Halt(at=NOW - HOUR, is_paused=True, reason="a move")
    over = Every("1h", end=datetime(2026, 1, 1, tzinfo=UTC))
    assert row(known(Every("1h")), NOW)[8:] == ("active", "")
    assert row(known(Every("1h"), halt=Halt(at=NOW, is_paused=False)), NOW)[8:] == ("active", "")
    assert row(known(over), NOW)[8:] == ("ended", "")
    assert row(known(None, ticked(NOW, gone=NOW)), NOW)[8:] == ("retired", "")
    assert row(known(None, ticked(NOW)), NOW)[8:] == ("elsewhere", "")
    state, why = row(known(Every("1h"), halt=paused), NOW)[8:]
    assert state == "paused"
    assert why.startswith("since 2026-03-28") and why.endswith(": a move")


def test_the_last_tick_is_told_if_it_was_one():
    hourly = Every("1h")
    assert row(known(hourly, ticked(NOW)), NOW)[5:8] == ("2026-03-28 12:00 UTC", "3", "1")
    # a new schedule, or one that goes on after a pause, counts from a time that is no tick
    assert row(known(hourly, ticked(NOW + 1)), NOW)[5] == ""
    assert row(known(hourly), NOW)[5:8] == ("", "", "")
    assert row(known(None, ticked(NOW + 1)), NOW)[5] == "2026-03-28 12:00:00 UTC"


def test_programs_get_all_of_it():
    told = as_json(known(Cron("0 7 * * *", tz="Europe/Berlin", jitter="1m"), ticked(NOW)), NOW)
    assert told["pattern"] == "0 7 * * *"
    assert told["words"] == "at 07:00, every day, Europe/Berlin time"
    assert told["jitter_ms"] == 60_000
    assert told["next"][0] == "2026-03-29T07:00:00+02:00"
    assert (told["fired"], told["missed"], told["skipped"]) == (9, 3, 1)
    assert (told["policy_for_missed"], told["overlap"]) == ("run_once", "skip")
    gone = as_json(known(None, ticked(NOW, gone=NOW)), NOW)
    assert gone["retired_since"] == "2026-03-28T12:00:00.000+00:00"


def told(known: Known) -> list[str]:
    heading, lines = block(known, NOW)
    return [heading, *(f"{name}: {value.replace(TOGETHER, ' ')}" for name, value in lines if value)]


def test_a_block_has_the_words_the_next_five_runs_and_the_last_one():
    seven = Cron("0 7 * * *", tz="Europe/Berlin", jitter="1m")
    last = NOW - 6 * HOUR
    assert told(known(seven, ticked(last))) == [
        "report  active",
        "runs: at 07:00, every day, Europe/Berlin time, up to 1m later (0 7 * * *)",
        "next: 2026-03-29 07:00, 03-30 07:00, 03-31 07:00, 04-01 07:00, 04-02 07:00 CEST",
        "last: 2026-03-28 07:00 CET; 3 missed, 1 of them skipped",
    ]
    assert told(known(Every("6h")))[1:] == [
        "runs: every 6 hours",
        "next: 2026-03-28 18:00, 03-29 00:00, 06:00, 12:00, 18:00 UTC",
    ]


def test_a_block_says_what_is_not_usual_about_a_schedule():
    paused = Halt(at=NOW - HOUR, is_paused=True, reason="a move")
    heading = told(known(Every("1h"), halt=paused))[0]
    assert heading.startswith("report  paused since 2026-03-28") and heading.endswith(": a move")
    heading = told(known(None, ticked(NOW, gone=NOW)))[0]
    assert heading.startswith("report  retired since 2026-03-28")
    # nobody here knows its times, but for the last one
    assert told(known(None, ticked(NOW))) == [
        "report  elsewhere: no handler in STREAMS_HANDLERS has it",
        "last: 2026-03-28 12:00 UTC; 3 missed, 1 of them skipped",
    ]


def test_one_schedule_is_told_with_all_there_is_of_it():
    of_one = fields(known(Cron("0 7 * * *", tz="Europe/Berlin"), ticked(NOW - 6 * HOUR)), NOW)
    found = [value for name, value in of_one]
    assert [name for name, _ in of_one][:6] == [
        "name",
        "origin",
        "state",
        "schedule",
        "in words",
        "next runs",
    ]
    assert found[5:10] == [
        f"2026-{day} 07:00 CEST" for day in ("03-29", "03-30", "03-31", "04-01", "04-02")
    ]
    assert dict(of_one) | {
        "overlap": "skip",
        "missed runs": "run_once",
        "missed": "3, of which 1 were skipped",
        "last tick": "2026-03-28 07:00 CET",
    } == dict(of_one)
    assert ("queue", "bulk") in fields(known(None, ticked(NOW)), NOW)
