"""What becomes of an arrival, from how far its job is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from parts import NOW, entry_of, envelope_of, ledger_of

from streams.jobs.identity import JobKey
from streams.jobs.states import OVER, State
from streams.worker.triage import Known, Verdict, is_covered, triage

JOB = JobKey(name="step", ordering_key="step:1", id="7")
FRESH = Known(active_time=None, entry=None, ledger=None, key_blocked=False)
HOUR = 3_600_000


def decide(
    known: Known, *, unique_for_ms: int = HOUR, now: int = NOW, **changes: object
) -> Verdict:
    envelope = replace(envelope_of("step", "7", "step:1"), **changes)
    return triage(envelope, known, now=now, unique_for_ms=unique_for_ms)


@pytest.mark.parametrize(
    ("changes", "blocked", "verdict"),
    [
        ({}, False, Verdict.ADMIT),
        ({}, True, Verdict.PARK),
        # due now is due, and a blocked key parks what is due
        ({"not_before": NOW}, False, Verdict.ADMIT),
        ({"not_before": NOW}, True, Verdict.PARK),
        # what is due later does not wait for its key, but for its time
        ({"not_before": NOW + 1}, False, Verdict.SCHEDULE),
        ({"not_before": NOW + 1}, True, Verdict.SCHEDULE),
        # what has expired neither waits nor runs
        ({"expires": NOW + 1}, False, Verdict.ADMIT),
        ({"expires": NOW}, False, Verdict.EXPIRE),
        ({"expires": NOW}, True, Verdict.EXPIRE),
        ({"expires": NOW, "not_before": NOW + 1}, False, Verdict.EXPIRE),
        ({"expires": NOW + 1, "not_before": NOW + 2}, False, Verdict.SCHEDULE),
    ],
)
def test_a_job_that_nobody_knows(
    changes: dict[str, object], blocked: bool, verdict: Verdict
) -> None:
    assert decide(replace(FRESH, key_blocked=blocked), **changes) is verdict


@pytest.mark.parametrize("later", [-HOUR, 0, 1, 10 * HOUR])
@pytest.mark.parametrize("changes", [{}, {"expires": NOW}, {"not_before": NOW + 1}])
def test_a_job_that_is_open_or_in_hand_is_never_started_again(
    later: int, changes: dict[str, object]
) -> None:
    time = NOW + later
    in_hand = replace(FRESH, active_time=NOW)
    assert decide(in_hand, time=time, **changes) is Verdict.DUPLICATE
    for state in State:
        known = replace(FRESH, entry=entry_of(JOB, state=state))
        assert decide(known, time=time, **changes) is Verdict.DUPLICATE


@pytest.mark.parametrize("state", sorted(OVER))
@pytest.mark.parametrize(
    ("time", "verdict"),
    [
        (NOW - 1, Verdict.DUPLICATE),  # a late copy of an older one
        (NOW, Verdict.DUPLICATE),  # a copy
        (NOW + 1, Verdict.DUPLICATE),  # sent again within the window
        (NOW + 500 + HOUR - 1, Verdict.DUPLICATE),
        (NOW + 500 + HOUR, Verdict.ADMIT),
    ],
)
def test_a_job_that_is_over_counts_for_its_window_from_its_end(
    state: State, time: int, verdict: Verdict
) -> None:
    known = replace(FRESH, ledger=ledger_of(JOB, state=state, ended=NOW + 500))
    assert decide(known, time=time, now=time) is verdict


def test_without_a_window_a_copy_is_still_a_copy() -> None:
    ledger = ledger_of(JOB, ended=NOW - 10)
    assert is_covered(NOW, ledger, unique_for_ms=0)
    assert is_covered(NOW - 1, ledger, unique_for_ms=0)
    assert not is_covered(NOW + 1, ledger, unique_for_ms=0)


def test_a_repeated_id_is_judged_like_any_other_once_it_is_free() -> None:
    known = replace(FRESH, ledger=ledger_of(JOB), key_blocked=True)
    later = NOW + 2 * HOUR
    assert decide(known, time=later, now=later) is Verdict.PARK
    assert decide(known, time=later, now=later, not_before=later + 1) is Verdict.SCHEDULE
    assert decide(known, time=later, now=later, expires=later) is Verdict.EXPIRE
