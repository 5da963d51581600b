"""How an audit is told, to people and to programs."""

from __future__ import annotations

import pytest

from streams.audit.accepted import Accepted
from streams.audit.audit import Report
from streams.audit.fault import NOT_FOUND, NOWHERE, Fault
from streams.audit.tally import Tally
from streams.cli import audit
from streams.cli.audit import SHOWN, as_plain, print_report
from streams.jobs.identity import JobKey

KEY = JobKey(name="mail", ordering_key="mail:7", id="m-1").encode()
LOST = Fault(why=NOWHERE, queue="bulk", partition=1, key=KEY, offset=12)


def _report(*faults: Fault) -> Report:
    tally = Tally(accepted=1_200, completed=1_000, dead=50, pending={"queued": 140, "parked": 10})
    return Report(tallies={("bulk", 0): tally, ("bulk", 1): Tally()}, faults=list(faults))


def test_people_are_told_what_became_of_all(capsys: pytest.CaptureFixture[str]):
    print_report(_report(), Accepted(["a", "b"]))
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if line.strip().startswith("bulk"))
    assert row.split() == ["bulk", "1,200", "1,000", "0", "0", "0", "50", "150", "0"]
    assert "looked for, as a client was told of them: 2" in said
    assert "every accepted job is accounted for" in said


def test_people_are_told_which_jobs_are_not_and_not_too_many(capsys: pytest.CaptureFixture[str]):
    print_report(_report(*[LOST] * (SHOWN + 5)), None)
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if line.strip().startswith("m-1"))
    assert row.split()[:6] == ["m-1", "mail", "mail:7", "bulk", "1", "12"]
    assert NOWHERE in row
    assert said.count("m-1") == SHOWN
    assert "faults: 105, 5 of them with --json alone" in said


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_how_far_it_is_is_told_on_a_terminal_alone(
    is_looked_at: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit.sys.stderr, "isatty", lambda: is_looked_at)
    audit._tell_progress("bulk/0")
    assert capsys.readouterr().err == ("audit: bulk/0\n" if is_looked_at else "")


def test_what_is_seldom_is_told_when_it_is_there(capsys: pytest.CaptureFixture[str]):
    report = _report()
    report.tallies[("bulk", 0)].resolving = 3
    print_report(report, None)
    assert "resolving" in capsys.readouterr().out
    print_report(_report(), None)
    assert "resolving" not in capsys.readouterr().out


def test_programs_are_told_all_of_it():
    told = as_plain(_report(LOST, Fault(why=NOT_FOUND, id="x", name="mail")), Accepted(["x"]))
    assert (told["accepted"], told["pending"], told["told"]) == (1_200, 150, 1)
    assert told["pending_by_state"] == {"queued": 140, "parked": 10}
    assert [fault["id"] for fault in told["faults"]] == ["m-1", "x"]
    assert told["faults"][0] == {
        "why": NOWHERE,
        "id": "m-1",
        "name": "mail",
        "key": "mail:7",
        "queue": "bulk",
        "partition": 1,
        "offset": 12,
        "detail": "",
    }
    assert [each["partition"] for each in told["partitions"]] == [0, 1]
