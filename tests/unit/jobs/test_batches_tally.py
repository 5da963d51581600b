"""The tally of a batch: what reports make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.jobs.batches import (
    Awaits,
    BatchCounts,
    ChildOf,
    Tally,
    Verdict,
    read_awaits,
    read_child_of,
    read_tally,
)
from streams.jobs.identity import JobKey
from streams.jobs.states import State

ENDS = (State.COMPLETED, State.DISCARDED, State.CANCELLED, State.EXPIRED, State.DEAD)


@given(st.lists(st.tuples(st.integers(-3, 40), st.sampled_from(list(State))), max_size=80))
def test_it_is_what_a_dict_of_the_last_reports_says(reports: list[tuple[int, State]]):
    tally = Tally(size=30)
    for at in range(0, len(reports), 7):
        tally = tally.with_reports(reports[at : at + 7])
    last = {i: state for i, state in reports if 0 <= i < 30 and state in ENDS}
    completed = sum(state is State.COMPLETED for state in last.values())
    assert tally.counts() == BatchCounts(size=30, completed=completed, failed=len(last) - completed)
    assert read_tally(tally.plain()) == tally


@pytest.mark.parametrize(
    ("when", "reports", "verdict"),
    [
        ("over", [], Verdict.WAITS),
        ("over", [(0, State.DEAD)], Verdict.WAITS),
        ("over", [(0, State.DEAD), (1, State.CANCELLED)], Verdict.RUNS),
        ("completed", [(0, State.DEAD), (1, State.COMPLETED)], Verdict.WAITS),
        ("completed", [(0, State.COMPLETED), (1, State.EXPIRED)], Verdict.NEVER),
        ("completed", [(0, State.DEAD), (1, State.COMPLETED), (0, State.COMPLETED)], Verdict.RUNS),
    ],
)
def test_its_verdict(when: str, reports: list[tuple[int, State]], verdict: Verdict):
    tally = Tally(size=2, when=when)  # type: ignore[arg-type]
    assert tally.with_reports(reports).verdict() is verdict


def test_headers_are_read_as_they_were_written():
    whose = ChildOf(queue="bulk", callback=JobKey(name="a", ordering_key=None, id="b"), index=7)
    assert read_child_of(whose.encode()) == whose
    assert read_awaits(Awaits(size=3, when="completed").encode()).when == "completed"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '["q","n",null,"i",-1]', '["q","n",null,"i",1000000]', '["q",1,2,3,4]']
)
def test_what_is_no_place_in_a_batch_is_refused(text: str):
    with pytest.raises(ValueError):
        read_child_of(text)


@pytest.mark.parametrize("text", ["", "3", "0 over", "x over", "3 never", "1000001 over"])
def test_what_nobody_can_wait_for_is_refused(text: str):
    with pytest.raises(ValueError):
        read_awaits(text)
