"""`streams doctor` on a real broker: what is well, and what is not and how to mend it."""

from __future__ import annotations

import pytest
from cli_process import Cli

from streams.cli import exits
from streams.worker.limit_log import LimitLog


@pytest.fixture
def cli(kafka: str, prefix: str) -> Cli:
    return Cli(kafka, prefix, "cli_handlers")


async def test_it_says_what_is_missing_then_that_all_is_well(cli: Cli) -> None:
    sick = await cli.run("doctor", "--json")
    assert sick.code == exits.NEGATIVE, sick.errors
    assert [(each["check"], each["ok"]) for each in sick.json] == [
        ("settings", True),
        ("handlers", True),
        ("disk", True),
        ("objects", True),
        ("broker", True),
        ("topics", False),
        ("clock", False),
    ]
    assert "streams topics apply" in sick.json[5]["remedy"]

    assert (await cli.run("topics", "apply")).code == exits.DONE
    well = await cli.run("doctor", "--json")
    assert well.code == exits.DONE, well.output + well.errors
    clock = well.json[6]
    # Broker and doctor have one clock here; a busy machine may answer late, which it says.
    assert abs(clock["value"]) < 500
    assert "the broker's, give or take" in clock["found"]


async def test_without_a_broker_it_says_what_it_can(prefix: str) -> None:
    said = await Cli("127.0.0.1:1", prefix, "cli_handlers").run("doctor", "--json")
    assert said.code == exits.NO_BROKER
    checks = {each["check"]: each for each in said.json}
    assert checks["disk"]["ok"]
    assert not checks["broker"]["ok"]
    assert "KAFKA_BOOTSTRAP_SERVERS" in checks["broker"]["remedy"]
    assert "needs the broker" in checks["clock"]["found"]


async def test_settings_that_make_no_sense_are_a_finding(cli: Cli) -> None:
    said = await cli.run("doctor", "--json", STREAMS_CONCURRENCY="many")
    assert said.code == exits.NEGATIVE
    assert [each["check"] for each in said.json] == ["settings"]


def test_what_it_writes_gives_nobody_anything() -> None:
    log = LimitLog()
    assert log.take("#clock", b"", 0, 1_000) == 0
    assert log.take("#clock", None, 1, 1_000) == 0
    assert log.position == 2
    assert b"#clock" not in log.encode()
