"""What `streams dev` says of the handlers, and of a broker that is not there."""

from __future__ import annotations

import re

import pytest

from streams import Cron, Event, Every, JobPayload, Tick, job
from streams.cli.dev import _tell, _tell_if_silent
from streams.jobs.discovery import handlers_among
from streams.jobs.registry import Registry
from streams.settings import Settings


class Ordered(Event, type="shop.ordered"):
    order: int


class Bill(JobPayload, name="bill"):
    order: int


@job(name="ship")
async def ship(event: Ordered) -> None: ...


@job
async def bill(payload: Bill) -> None: ...


@job(name="report", cron=Cron("0 7 * * mon-fri", tz="Europe/Berlin"))
async def report(tick: Tick) -> None: ...


@job(name="sync", cron=Every("10m"))
async def sync(tick: Tick) -> None: ...


@job(name="taker")
async def taker(tick: Tick) -> None: ...


def test_of_each_handler_it_says_what_starts_it(capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry.build(handlers_among([ship, bill, report, sync, taker]), ("default",))

    _tell(Settings(), registry, "127.0.0.1:9092", 1, 8001, own_broker=False)

    told = re.findall(r"^  (\S+) +default, (.+)$", capsys.readouterr().err, re.M)
    assert dict(told) == {
        "bill": "on enqueue",
        "report": "at 07:00, Monday to Friday, Europe/Berlin time",
        "ship": "on event shop.ordered",
        "sync": "every 10 minutes",
        "taker": "by `streams cron add`",
    }


def test_of_a_console_that_is_not_installed_it_says_how_to_have_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry = Registry.build(handlers_among([ship]), ("default",))

    _tell(Settings(), registry, "127.0.0.1:9092", 1, None, own_broker=True)

    first, *_ = capsys.readouterr().err.splitlines()
    assert first == 'console  none, it is not installed: pip install "jobstreams[console]"'


def test_of_a_broker_that_is_not_there_it_says_who_named_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _tell_if_silent("127.0.0.1:1")

    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("streams: no broker answers at 127.0.0.1:1, which KAFKA_BOOTSTRAP_SERVE")
    assert "Unset it, and `streams dev` starts a broker" in told
