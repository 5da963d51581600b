"""What is kept of many jobs that ran in shadow."""

from __future__ import annotations

from dataclasses import replace

from streams.replay.comparing import Account, Difference, Ended, Sent
from streams.replay.shadow_report import FIELDS_KEPT, Compared, ShadowReport

ONE = Compared(job="ship", id="1", key=None, event="e", place="t/0/0", time=1)
DONE = Account(ended=Ended.COMPLETED, result=b"1")
FAILED = Account(ended=Ended.FAILED, error="KeyError", message="'a'", trace="Traceback ...")


def test_of_those_with_nothing_beside_them_some_are_kept_and_first_those_that_fail() -> None:
    report = ShadowReport(2)
    for number, now in enumerate([DONE, DONE, DONE, FAILED]):
        report.take(replace(ONE, id=str(number), now=now, unrecorded="no record of it is left"))
    report.take(replace(ONE, unrecorded="it ended its worker, and is not run"))

    assert [(one.id, one.now) for one in report.shown_alone] == [("3", FAILED), ("0", DONE)]
    assert report.unrecorded == 5


def test_a_field_that_is_ignored_and_that_nothing_has_is_known() -> None:
    report = ShadowReport(1, frozenset({"at", "hw"}))
    report.note_fields(replace(DONE, result=b'{"at": 1}', sent=(_sent(b'{"how": 1}'),)))
    assert report.never_seen == []  # nothing was compared
    report.take(replace(ONE, differences=(Difference(what="result", then="1", now="2"),)))
    assert report.never_seen == ["hw"]
    assert report.fields == {"at", "how"}


def test_however_many_fields_there_are_those_that_are_ignored_are_seen() -> None:
    report = ShadowReport(1, frozenset({"at", "never"}))
    for number in range(FIELDS_KEPT + 5):
        report.note_fields(replace(DONE, result=b'{"f%d": 1}' % number))
    report.note_fields(replace(DONE, result=b'{"at": 1}'))
    assert len(report.fields) == FIELDS_KEPT + 1
    assert "at" in report.fields


def _sent(payload: bytes) -> Sent:
    return Sent(name="mail", key=None, payload=payload)
