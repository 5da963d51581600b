"""What a client refuses of a schedule, before it asks a broker."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from streams import Cron, Event, Every, JobPayload, Tick
from streams.client import JobClient
from streams.client_schedule import Scheduled, added_schedule, check_free, removed
from streams.errors import PayloadInvalid, PayloadTooLarge, ScheduleInvalid, StreamsError
from streams.wire.schedules import Ticked

HOURLY = Every("1h")


class Remind(JobPayload, name="remind", key="account", queue="bulk"):
    account: int
    note: str = ""


class Move(JobPayload, name="move", key="account", key_scope="account"):
    account: int


class Sweep(Tick, name="sweep"): ...


class Nameless(JobPayload):
    n: int = 0


class Closed(Event, type="account.closed"):
    account: int = 0


def tick() -> Sweep:
    return Sweep(schedule="x", time=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def jobs() -> JobClient:
    """Not open: whatever is refused here is refused without a broker."""
    return JobClient("127.0.0.1:1", source="/tests")


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        (Cron("61 * * * *"), "61 is no minute: write 0-59 (minute, column 1)"),
        (Cron("0 0 30 2 *"), "no feb has a day 30"),
        (Cron("0 9 * * mon", tz="Europe/Berln"), "did you mean Europe/Berlin?"),
        (Every("10ms"), "is shorter than"),
        (Every("-5m"), "-5m is negative"),
        (Every("1h", jitter="2h"), "past the next one"),
        (Every("1h", start=datetime(2030, 1, 1)), "has no time zone"),
        (Every("1h", end=datetime(2020, 1, 1, tzinfo=UTC)), "would never run"),
        (Every("1h", missed="run_al"), 'did you mean missed="run_all"?'),
        (Every("1h", overlap="queue"), 'overlap="queue" goes with a schedule in the code'),
        (Cron("@daily", overlap="cancel_previous"), 'overlap="cancel_previous" goes with'),
        ("0 9 * * mon", 'is no schedule: write Cron("0 7 * * mon-fri") or Every("10m")'),
    ],
)
async def test_a_schedule_that_makes_no_sense(jobs: JobClient, schedule: Any, why: str) -> None:
    with pytest.raises(ScheduleInvalid, match=re.escape(why)):
        await jobs.schedule("dunning:7", schedule, Remind(account=7))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "x" * 201, None])
async def test_a_name_that_may_not_be(jobs: JobClient, name: Any) -> None:
    with pytest.raises(ScheduleInvalid, match="is no name of a schedule"):
        await jobs.schedule(name, HOURLY, Remind(account=7))
    with pytest.raises(ScheduleInvalid, match="is no name of a schedule"):
        await jobs.unschedule(name)


@pytest.mark.parametrize(
    ("payload", "error", "why"),
    [
        (Closed(), TypeError, "is an event"),
        (Remind, TypeError, "schedule(...) takes an instance"),
        ({"account": 7}, TypeError, "schedule(...) takes an instance"),
        (Nameless(), PayloadInvalid, "has no name"),
        (Remind.model_construct(account="x"), PayloadInvalid, "Remind.account"),
        (Remind(account=123456789012345678901), PayloadInvalid, "more than 19 digits"),
        (Remind(account=1, note="x" * 1_000_000), PayloadTooLarge, "remind: the payload has"),
        (tick(), ScheduleInvalid, "Sweep is a Tick, which each run makes"),
    ],
)
async def test_a_payload_that_can_not_be(
    jobs: JobClient, payload: Any, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=re.escape(why)):
        await jobs.schedule("dunning:7", HOURLY, payload)


async def test_what_is_not_open_says_so(jobs: JobClient) -> None:
    with pytest.raises(StreamsError, match="is not open"):
        await jobs.schedule("dunning:7", HOURLY, Remind(account=7))
    with pytest.raises(StreamsError, match="is not open"):
        await jobs.unschedule("dunning:7")


def test_what_is_kept_is_the_job_as_its_contract_has_it() -> None:
    added = added_schedule(HOURLY, Remind(account=7), 1_000)
    assert (added.job, added.queue, added.key) == ("remind", "bulk", "remind:7")
    assert added.payload == b'{"account":7,"note":""}'
    assert added_schedule(HOURLY, Move(account=7), 1_000).key == "account:7"


def ticked(**told: Any) -> Ticked:
    return Ticked(last=1, shape="?", queue="bulk", **told)


def test_the_name_of_one_in_the_code_is_taken_until_that_is_gone() -> None:
    check_free("a", Scheduled())
    check_free("a", Scheduled(is_added=True, ticked=ticked(is_added=True)))
    check_free("a", Scheduled(ticked=ticked(gone=5)))
    with pytest.raises(ScheduleInvalid, match="the schedule a is in the code of a worker"):
        check_free("a", Scheduled(ticked=ticked()))


def test_how_far_one_in_the_code_is_stays_when_one_that_it_hides_is_removed() -> None:
    keys = [b"cron-added:a", b"cron:a", b"cron-pause:a"]
    assert [key for key, _ in removed("a", Scheduled(is_added=True))] == keys
    hidden = Scheduled(is_added=True, ticked=ticked())
    assert removed("a", hidden) == [(b"cron-added:a", None)]
