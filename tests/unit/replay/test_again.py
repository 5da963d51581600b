"""A replay with a name, and what else was done under it."""

from __future__ import annotations

from dataclasses import replace

from streams.replay.again import WHAT, other_runs, reason_of
from streams.wire.actions import OperatorAction

TOLD = "user.signed_up --since 7d"
ACT = OperatorAction(
    id="1",
    at=1,
    by="me",
    what=WHAT,
    on=TOLD,
    ended=True,
    counts={"sent": 3},
    reason=reason_of("april", "history"),
)


def test_one_that_goes_on_as_it_began_is_no_other() -> None:
    acts = [ACT, replace(ACT, reason=reason_of("may", "bulk")), replace(ACT, what="dlq replay")]
    assert other_runs(acts, "april", "history", TOLD) == ([], [])


def test_a_queue_to_which_it_has_sent_is_told_and_one_to_which_it_has_sent_nothing_is_not() -> None:
    cut_off = replace(ACT, ended=False, counts={}, reason=reason_of("april", "bulk"))
    nothing = replace(ACT, counts={"sent": 0}, reason=reason_of("april", "critical"))
    assert other_runs([cut_off, nothing, ACT], "april", "default", TOLD) == (
        ["bulk", "history"],
        [],
    )


def test_what_else_it_was_asked_for_is_told() -> None:
    assert other_runs([ACT], "april", "history", f"{TOLD} --job a") == ([], [TOLD])
