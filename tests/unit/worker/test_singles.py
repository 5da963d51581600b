"""Which one of those that are alike runs: decided from what is known of the others."""

from __future__ import annotations

import pytest
from parts import NOW, attempt, definition_of

from streams import JobPayload, job
from streams.jobs.identity import JobKey
from streams.jobs.single import Kind
from streams.wire.single import Single
from streams.worker.single_index import Mark
from streams.worker.singles import Singles, first_like, why_dropped

KEY = JobKey(name="step", ordering_key="step:1", id="r1").encode()


class Step(JobPayload, name="step", key="account"):
    account: int


@job
async def step(payload: Step) -> None: ...


@pytest.mark.parametrize(
    ("arrival", "sent", "is_dropped"),
    [
        (8, NOW, True),
        (8, NOW + 999, True),
        (8, NOW + 1_000, False),  # the period is over
        (7, NOW, False),  # it is the first one itself, which came again
        (6, NOW, False),  # it came before the one that is known
    ],
)
def test_a_job_counts_for_what_came_later_until_its_time_is_over(
    arrival: int, sent: int, is_dropped: bool
) -> None:
    mark = Mark(state_key=KEY, arrival=7, until=NOW + 1_000)
    assert first_like([mark], arrival=arrival, sent=sent) == (mark if is_dropped else None)


def test_others_that_do_not_count_hide_none_that_does() -> None:
    later = Mark(state_key=KEY, arrival=9, until=NOW + 2_000)
    before = Mark(state_key=KEY, arrival=3, until=NOW + 1_000)
    assert first_like([later, before], arrival=8, sent=NOW) == before


def test_who_is_dropped_is_told_because_of_whom() -> None:
    mark = Mark(state_key=KEY, arrival=7, until=NOW)
    assert why_dropped(Kind.THROTTLE, mark) == "throttled: r1 of this key came first"


def test_what_leaves_the_hand_leaves_nothing_behind() -> None:
    singles = Singles()
    attempts = [attempt(definition_of(step), str(n), f"step:{n % 2}", n) for n in range(4)]
    for n, each in enumerate(attempts):
        each.single = Single(scope=f"s{n % 2}", kind=Kind.THROTTLE, arrival=n, until=NOW)
        singles.put(each)
    assert list(singles.of("s1")) == [attempts[1], attempts[3]]
    assert list(singles.of("s2")) == []
    for each in attempts:
        singles.drop(each)
    assert len(singles) == 0
