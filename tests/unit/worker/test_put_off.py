"""A job that gets another time: whether its key waits for it follows from whether it has run."""

from __future__ import annotations

import pytest

from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.state import OpenEntry
from streams.worker.admission import put_off


def entry(state: State, *, attempts: int = 0, starts: int = 0, supposed: bool = False) -> OpenEntry:
    return OpenEntry(
        job=JobKey(name="report", ordering_key="report:1", id="1"),
        state=state,
        time=0,
        generation=0,
        run=0,
        attempts=attempts,
        arrival=0,
        due=5,
        blocks=True,
        record_key=b"report:1",
        headers=(),
        payload=b"{}",
        starts=starts,
        is_supposed=supposed,
    )


@pytest.mark.parametrize(
    ("before", "state", "blocks", "starts"),
    [
        (entry(State.SCHEDULED), State.SCHEDULED, False, 0),
        (entry(State.PARKED), State.SCHEDULED, False, 0),
        (entry(State.PARKED, attempts=1), State.RETRYING, True, 0),
        (entry(State.RETRYING, attempts=1), State.RETRYING, True, 0),
        (entry(State.SLEEPING), State.SLEEPING, True, 0),
        # Its start was recorded ahead, and nobody has seen it run.
        (entry(State.RUNNING, starts=1, supposed=True), State.SCHEDULED, False, 0),
        # It ran when its worker died: others of its key must not go first.
        (entry(State.RUNNING, starts=2), State.RETRYING, True, 1),
    ],
)
def test_only_what_has_run_holds_its_key(
    before: OpenEntry, state: State, blocks: bool, starts: int
) -> None:
    after = put_off(before, 900, 7, is_keyed=True)

    assert (after.state, after.blocks, after.starts) == (state, blocks, starts)
    assert (after.due, after.commanded, after.held) == (900, 7, None)
    assert not put_off(before, 900, 7, is_keyed=False).blocks or state is State.SLEEPING
