"""A schedule that somebody adds fits the handlers that there are, or is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streams import Every, JobPayload, Tick, job
from streams.errors import PayloadInvalid, ScheduleInvalid
from streams.jobs.discovery import handlers_among
from streams.jobs.registry import Registry
from streams.schedules.adding import added_for, check_name, new_schedule

NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


class Bill(JobPayload, name="bill", key="account", queue="bulk"):
    account: int
    share: float = 1.1


class Move(JobPayload, name="move", key="account", key_scope="account"):
    account: int


class Sweep(JobPayload, name="sweep"):
    depth: int = 3


@job
async def bill(payload: Bill) -> None: ...


@job
async def move(payload: Move) -> None: ...


@job
async def sweep(payload: Sweep) -> None: ...


@job(name="hourly", cron=Every("1h"))
async def hourly(tick: Tick) -> None: ...


@job(name="taker")
async def taker(tick: Tick) -> None: ...


REGISTRY = Registry.build(
    handlers_among([bill, move, sweep, hourly, taker]), ("critical", "default", "bulk")
)
HOURLY = new_schedule(None, "1h", NOW)


def added(job: str, payload: str | None = None) -> Any:
    return added_for(REGISTRY, "mine", HOURLY, job, payload)


def test_keys_have_their_scope_as_a_client_gives_it():
    assert added("bill", '{"account": 7}').key == "bill:7"
    assert added("move", '{"account": 7}').key == "account:7"
    assert added("sweep", "{}").key is None


def test_a_payload_is_kept_as_its_contract_has_it():
    assert added("bill", '{"account": "7"}').payload == b'{"account":7,"share":1.1}'
    assert added("sweep").payload == b'{"depth":3}'


def test_a_job_that_takes_a_tick_has_the_key_of_its_ticks():
    assert added("taker").payload is None
    assert added("taker").key is None
    assert added("hourly").key == "hourly:mine"  # one at a time, as by its own schedule


@pytest.mark.parametrize(
    ("job", "payload", "why"),
    [
        ("bill", None, "Bill.account: Field required"),
        ("bill", "[]", "Bill: Input should be an object"),
        ("bill", '{"account": 123456789012345678901234567890}', "more than 19 digits"),
        ("taker", "{}", "give no payload"),
        ("nobody", None, "names are: bill, hourly, move, sweep, taker"),
        ("bil", None, r"did you mean bill\?"),
    ],
)
def test_what_does_not_fit_is_refused(job: str, payload: str | None, why: str):
    with pytest.raises((ScheduleInvalid, PayloadInvalid), match=why):
        added(job, payload)


def test_names():
    check_name(REGISTRY, "nightly-2.b_c")
    check_name(REGISTRY, "dunning:7")
    check_name(REGISTRY, "bill")  # a job of that name has no schedule
    with pytest.raises(ScheduleInvalid, match=r"is in the code, at .*test_adding\.py:\d+"):
        check_name(REGISTRY, "hourly")
    for name in ("", "a b", "a/b", "ü", "x" * 201):
        with pytest.raises(ScheduleInvalid, match="is no name of a schedule"):
            check_name(REGISTRY, name)


def test_the_position_of_the_fault_is_shown():
    with pytest.raises(ScheduleInvalid) as refused:
        new_schedule("0 25 * * *", None, NOW)
    first, *shown = str(refused.value).splitlines()
    assert first.startswith("25 is no hour") and first.endswith("(hour, column 3)")
    assert shown == ["    0 25 * * *", "      ^^"]


def test_all_of_one_schedule_may_run_beside_each_other():
    assert new_schedule("0 7 * * *", None, NOW, tz="Europe/Berlin").overlap == "allow"
    assert new_schedule(None, "10m", NOW).overlap == "allow"
