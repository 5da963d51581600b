"""Which one of those that are alike runs: decided from what is known of the others."""

from __future__ import annotations

from typing import Any

import pytest
from parts import NOW, attempt, definition_of, entry_of, step

from streams.jobs.identity import JobKey
from streams.jobs.single import Kind, SingleRule
from streams.jobs.states import State
from streams.wire.single import Single, once_over
from streams.wire.state import counted, is_debounced
from streams.worker.single_index import Mark
from streams.worker.singles import Singles, burst_of, first_like, mark_of, why_dropped

KEY = JobKey(name="step", ordering_key="step:1", id="r1").encode()


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
    other = JobKey.decode(KEY)
    assert why_dropped(Kind.THROTTLE, other) == "throttled: r1 of this key came first"
    assert why_dropped(Kind.DEBOUNCE, other) == "debounced: r1 came after it"
    assert why_dropped(Kind.UNTIL_STARTED, other) == "unique: r1 is the same"
    assert why_dropped(Kind.UNTIL_OVER, other) == "unique: r1 is the same"
    overlaps = "overlap: the run before it, r1, is still open"
    assert why_dropped(Kind.UNTIL_OVER, other, is_tick=True) == overlaps


WAITS: dict[str, Any] = {"state": State.PARKED, "run": 0, "attempts": 0}


@pytest.mark.parametrize(
    ("changes", "until_started", "until_over"),
    [
        ({}, True, True),
        ({"state": State.SCHEDULED}, True, True),
        ({"state": State.RUNNING}, False, True),
        ({"state": State.RETRYING, "run": 1, "attempts": 1}, False, True),
        ({"state": State.SLEEPING, "run": 1}, False, True),
        ({"state": State.PARKED, "run": 1, "attempts": 1}, False, True),
        ({"state": State.DEAD, "attempts": 1}, False, False),
        ({"state": State.DEAD}, False, False),
        ({"generation": 1}, True, True),  # a replayed letter
    ],
)
def test_an_open_job_counts_as_long_as_it_waits_or_until_it_is_over(
    changes: dict[str, Any], until_started: bool, until_over: bool
) -> None:
    for kind, counts in ((Kind.UNTIL_STARTED, until_started), (Kind.UNTIL_OVER, until_over)):
        single = Single(scope="s", kind=kind, arrival=1)
        entry = entry_of(JobKey.decode(KEY), single=single, **{**WAITS, **changes})
        assert (counted(entry) is not None) is counts


@pytest.mark.parametrize(
    ("kind", "for_ms", "ran", "was_dead", "until"),
    [
        (Kind.UNTIL_OVER, 0, True, False, None),
        (Kind.UNTIL_OVER, 500, True, False, NOW + 500),
        (Kind.UNTIL_OVER, 500, False, False, None),  # it was cancelled before it ran
        (Kind.UNTIL_OVER, 500, True, True, None),  # its letter was discarded
        (Kind.UNTIL_STARTED, 0, True, False, None),
    ],
)
def test_one_that_is_over_counts_for_a_while_if_it_ran(
    kind: Kind, for_ms: int, ran: bool, was_dead: bool, until: int | None
) -> None:
    single = Single(scope="s", kind=kind, arrival=1, for_ms=for_ms)
    over = once_over(single, ran=ran, was_dead=was_dead, ended=NOW)
    assert (None if over is None else over.until) == until


def test_one_in_hand_counts_until_it_has_started_or_until_it_is_over() -> None:
    for kind, counts in ((Kind.UNTIL_STARTED, False), (Kind.UNTIL_OVER, True)):
        single = Single(scope="s", kind=kind, arrival=1)
        each = attempt(definition_of(step), "1", "step:1")
        assert mark_of(each, single) is not None
        each.started = NOW
        assert (mark_of(each, single) is not None) is counts
        again = attempt(definition_of(step), "1", "step:1", opened=True)  # retried
        assert (mark_of(again, single) is not None) is counts


QUIET = SingleRule(kind=Kind.DEBOUNCE, ms=1_000)
BOUNDED = SingleRule(kind=Kind.DEBOUNCE, ms=1_000, at_most_ms=5_000)


@pytest.mark.parametrize(
    ("rule", "began", "not_before", "burst"),
    [
        (QUIET, [], None, (0, 1_000)),
        (BOUNDED, [], None, (0, 1_000)),
        # it goes on with the burst of those whose place it takes
        (QUIET, [-4_500, -3_000], None, (-4_500, 1_000)),
        (BOUNDED, [-4_000], None, (-4_000, 1_000)),
        # which takes no longer than it may
        (BOUNDED, [-3_000, -4_500], None, (-4_500, 500)),
        # a delayed job never runs early
        (QUIET, [], 3_000, (0, 3_000)),
        (BOUNDED, [-4_500], 3_000, (-4_500, 3_000)),
        (QUIET, [], 1, (0, 1_000)),
    ],
)
def test_a_debounced_job_is_due_when_its_burst_is_over(
    rule: SingleRule, began: list[int], not_before: int | None, burst: tuple[int, int]
) -> None:
    waiting = [
        Single(scope="s", kind=Kind.DEBOUNCE, arrival=1, since=NOW + since, until=NOW + 1)
        for since in began
    ]
    when = None if not_before is None else NOW + not_before
    since, due = burst_of(rule, waiting, sent=NOW, not_before=when)
    assert (since - NOW, due - NOW) == burst


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"state": State.PARKED}, False),  # it is due, and waits for its key
        ({"state": State.RUNNING}, False),
        ({"state": State.RETRYING, "run": 1, "attempts": 1}, False),
        ({"state": State.SLEEPING, "run": 1}, False),
        ({"generation": 1}, False),  # a replayed letter
    ],
)
def test_a_debounced_job_makes_way_only_before_it_is_due(
    changes: dict[str, Any], counts: bool
) -> None:
    single = Single(scope="s", kind=Kind.DEBOUNCE, arrival=1, since=NOW, until=NOW + 1)
    fresh: dict[str, Any] = {"state": State.SCHEDULED, "run": 0, "attempts": 0}
    entry = entry_of(JobKey.decode(KEY), single=single, **{**fresh, **changes})
    assert is_debounced(entry) is counts
    assert counted(entry) == (single if counts else None)
    for ran in (False, True):
        assert once_over(single, ran=ran, was_dead=False, ended=NOW) is None


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
