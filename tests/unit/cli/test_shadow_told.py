"""What a replay in shadow says at its end, and with which exit code."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from streams.cli import exits
from streams.cli.shadow_told import print_report, verdict
from streams.replay.comparing import Account, Difference, Ended
from streams.replay.shadow_report import Compared, ShadowReport

ONE = Compared(job="ship", id="1", key="ship:7", event="e", place="t/0/0", time=1)
DONE = Account(ended=Ended.COMPLETED, result=b'{"at": 1}')
TRACE = "Traceback (most recent call last):\n" + "  deep\n" * 2_000 + "KeyError: 'a'\n"
FAILED = Account(ended=Ended.FAILED, error="KeyError", message="'a'", trace=TRACE)
DIFFERENT = Difference(
    what="result", then="a" * 2_000 + "b", now="a" * 2_000 + "c", at="rows[3].id"
)


def report(*jobs: Compared, ignored: frozenset[str] = frozenset()) -> ShadowReport:
    made = ShadowReport(10, ignored)
    made.events = len(jobs)
    for job in jobs:
        made.take(job)
    made.note_fields(DONE)
    return made


def printed(found: ShadowReport, *, as_json: bool = False) -> int:
    settings = SimpleNamespace(ledger_kept="3d")
    order: Any = SimpleNamespace(settings=settings, since=0, now=0, as_json=as_json, told="x")
    return print_report(order, found, [])


@pytest.mark.parametrize(
    ("jobs", "ignored", "code", "said"),
    [
        ([ONE], "", exits.DONE, ""),
        ([ONE], "at", exits.DONE, ""),
        ([ONE], "att", exits.USAGE, "--ignore att: nothing that was compared has this field; did"),
        ([replace(ONE, differences=(DIFFERENT,))], "", exits.NEGATIVE, ""),
        ([replace(ONE, differences=(DIFFERENT,))], "x", exits.NEGATIVE, ""),
        ([ONE], "other", exits.DONE, ""),
        ([], "at", exits.NOT_FOUND, "there are no such events: x --since 1h"),
        ([replace(ONE, unrecorded="gone")], "at", exits.NOT_FOUND, "of none of 1 jobs"),
        ([ONE, replace(ONE, unrecorded="gone")], "", exits.DONE, ""),
    ],
)
def test_the_exit_code_says_what_was_found(
    jobs: list[Compared], ignored: str, code: int, said: str
) -> None:
    found, why = verdict("x --since 1h", report(*jobs, ignored=frozenset(filter(None, [ignored]))))
    assert found == code
    assert said in why


def test_a_difference_is_shown_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    printed(report(replace(ONE, now=DONE, differences=(DIFFERENT,))))
    said = capsys.readouterr().out
    assert "differs at rows[3].id" in " ".join(said.split())
    assert "aab" in said
    assert "aac" in said
    assert len(said) < 2_500


def test_programs_get_all_of_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    printed(report(replace(ONE, now=DONE, differences=(DIFFERENT,))), as_json=True)
    (one,) = orjson.loads(capsys.readouterr().out)["differences"]
    assert one["differences"][0]["now"] == DIFFERENT.now
    assert one["differences"][0]["at"] == "rows[3].id"


def test_a_failure_in_shadow_has_its_error_and_the_end_of_its_trace_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = Difference(what="outcome", then="completed", now=FAILED.told())
    failing = replace(ONE, now=FAILED, differences=(outcome,))
    printed(report(failing, replace(failing, id="2")))
    said = capsys.readouterr().out
    assert said.count("failed: KeyError: 'a'") == 2
    assert "trace" in said
    assert len([line for line in said.splitlines() if line.strip() == "KeyError: 'a'"]) == 1
    assert said.count("  deep") < 1_000

    printed(report(failing), as_json=True)
    (one,) = orjson.loads(capsys.readouterr().out)["differences"]
    assert one["failed"] == {"error": "KeyError", "message": "'a'", "trace": TRACE}


def test_what_is_unrecorded_is_told_with_what_it_came_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    alone = replace(ONE, now=DONE, unrecorded="no record of it is left", sent=("mail.send",))
    bad = replace(ONE, id="2", now=replace(FAILED, message="\x1b[31mred"), unrecorded="it expired")
    assert printed(report(alone, bad)) == exits.NOT_FOUND
    said = capsys.readouterr().out
    assert '{"at": 1}' in said
    assert "mail.send" in said
    assert "failed: KeyError: \\x1b[31mred" in said
    assert "KeyError: 'a'" in said

    printed(report(alone, bad), as_json=True)
    first, second = orjson.loads(capsys.readouterr().out)["unrecordedShown"]
    assert (first["why"], first["failed"]["error"]) == ("it expired", "KeyError")
    assert second["now"]["result"] == '{"at": 1}'
    assert (second["now"]["outcome"], second["now"]["sent"]) == ("completed", ["mail.send"])
