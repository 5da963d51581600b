"""Durations and moments behind an option: what is none ends the command, and names the option."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from streams.cli import exits
from streams.cli.times import check_duration, check_start, read_moment


def refused(capsys: pytest.CaptureFixture[str], ended: typer.Exit) -> str:
    assert ended.exit_code == exits.USAGE
    return capsys.readouterr().err


def test_what_was_not_given_is_fine() -> None:
    check_duration("--delay", None)
    assert read_moment("--run-at", None) is None
    assert check_start(None, None) is None


def test_one_of_delay_and_run_at_is_fine() -> None:
    assert check_start("10m", None) is None
    assert check_start(None, "2027-01-01T00:00Z") == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "why"), [("soon", "'soon' is no duration"), ("-1h", "-1h is negative")]
)
def test_a_duration_names_its_option(
    text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        check_start(text, None)
    assert refused(capsys, ended.value).startswith(f"streams: --delay: {why}")


@pytest.mark.parametrize("text", ["tomorrow", "2026-12-24T18:00", "-1s"])
def test_a_moment_needs_its_zone(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        read_moment("--start", text)
    assert f"--start {text}" in refused(capsys, ended.value)


def test_both_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        check_start("1h", "2027-01-01T00:00Z")
    assert "either --delay or --run-at" in refused(capsys, ended.value)
