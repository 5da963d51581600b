"""Tables: what identifies is whole, what explains has the room that is left."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streams.cli.jobs import _print, _print_status
from streams.cli.output import (
    TOGETHER,
    print_blocks,
    print_fields,
    print_table,
    show_json,
    show_time,
)
from streams.client_story import Story
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.story.finding import Found
from streams.wire.state import LedgerRecord

ID = "agents.email.send_welcome_email:0123456789abcdef0123456789abcdef"
ERROR = "SMTPServerDisconnected: " + "the server said nothing more " * 10
ROWS = [(ID, "critical", ERROR), ("short", "bulk", "ValueError: one\nand two")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    def of(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("NO_COLOR", "1")

    return of


@pytest.mark.parametrize("width", [40, 80, 120])
def test_on_a_terminal_errors_are_cut_and_ids_never(
    terminal: Any, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(width)

    print_table(("letter", "queue", "error"), ROWS)

    head, rule, first, second = lines(capsys)
    assert head.split() == ["letter", "queue", "error"]
    assert rule.strip(" ─") == ""
    assert first.split()[:2] == [ID, "critical"]
    assert first.rstrip().endswith("…")
    assert "ValueError: one and" in second
    # as wide as the terminal, or as it must be
    assert len(first.rstrip()) <= max(width, len(ID) + len("critical") + 30)


def test_on_a_terminal_a_remedy_is_wrapped(
    terminal: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(80)

    print_table(("topic", "remedy"), [("jobs.critical.retry", "set this and that " * 20)])

    assert all(len(line.rstrip()) <= 80 for line in lines(capsys))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    return [line for line in plain.splitlines() if line.strip()]


def test_where_nobody_looks_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("letter", "queue", "error"), ROWS)

    written = capsys.readouterr().out
    assert ID in written
    assert ERROR.strip() in written


BLOCK = ("report  active", [("next", f"12-24{TOGETHER}07:00, " * 9), ("last", ""), ("runs", "x")])


@pytest.mark.parametrize("width", [40, 80, 120])
def test_on_a_terminal_blocks_fit_its_width(
    terminal: Any, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(width)

    print_blocks([BLOCK])

    heading, *below = lines(capsys)
    assert heading == "report  active"
    assert below[0].startswith("  next 12-24 07:00, 12-24 07:00,")
    assert all(len(line) <= width for line in below)
    assert all(line.startswith("       12-24") for line in below[1:-1])
    assert below[-1] == "  runs x"


def test_where_nobody_looks_each_value_of_a_block_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_blocks([BLOCK])

    assert [len(line) > 100 for line in lines(capsys)] == [False, True, False]


def test_times_are_to_the_second_and_results_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("sent", show_time(1_700_000_000_123)), ("result", show_json({"sent": True}))])

    sent, result = capsys.readouterr().out.splitlines()
    assert ":20" in sent and "." not in sent
    assert result.split(maxsplit=1) == ["result", '{"sent":true}']


def test_a_job_is_shown_with_its_result_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    job = JobKey(name="mail", ordering_key=None, id="1")
    over = LedgerRecord(
        job=job, state=State.COMPLETED, time=1, generation=0, run=0, attempts=1, ended=2,
        result=b'{"sent":true,"to":null}',
    )  # fmt: skip

    _print_status(Found(queue="bulk", job=job, partition=0, story=Story(ledger=over)))

    assert 'result        {"sent":true,"to":null}' in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("id", "label"),
    [
        ("report:2023-11-14T22:13:20Z", "tick"),
        ("report:manual:0193", "sent"),
        ("report:2023-11-14T22:13:21Z", "sent"),  # named like one by somebody else
    ],
)
def test_the_time_of_a_tick_is_not_when_it_was_sent(
    id: str, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = JobKey(name="report", ordering_key=None, id=id)
    over = LedgerRecord(
        job=job, state=State.COMPLETED, time=1_700_000_000_000, generation=0, run=0, attempts=1,
        ended=1_700_000_009_000,
    )  # fmt: skip

    _print(Found(queue="bulk", job=job, partition=0, story=Story(ledger=over)))

    shown = show_time(1_700_000_000_000)
    assert f"{label}          {shown}" in capsys.readouterr().out.splitlines()


def test_what_a_payload_says_does_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("error", "\x1b[2Jgone\x07"), ("payload", "a\tb\nc")])
    print_table(("error",), [("\x1b]0;owned\x07",)])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "\\x1b[2Jgone\\x07" in printed
    assert "a\tb\nc" in printed


def test_a_time_that_no_calendar_has_is_told_as_it_is() -> None:
    assert show_time(10**17) == f"{10**17} ms"
