"""The breaker of a definition: when it opens, probes, and closes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from parts import attempt, definition_of

from streams import Breaker, JobPayload, job
from streams.jobs.outcome import Cancelled, Completed, Dead, Failure, Outcome, Retrying
from streams.worker.circuit import Circuit

FAILURE = Failure(type="ConnectionError", message="", trace="")
BAD: Outcome = Retrying(1_000, FAILURE)
GOOD: Outcome = Completed(None)
SAYS_NOTHING: Outcome = Cancelled("by hand")


class Step(JobPayload, name="circuit_step"):
    pass


@job(breaker=Breaker(0.5, of=4))
async def step(payload: Step) -> None: ...


class Clock:
    now = 1_000


def circuit(clock: Clock) -> Circuit:
    return Circuit(
        "breaker:x", lambda: clock.now, of_name="x", share=0.5, of=4, pause_ms=100, at_most_ms=400
    )


def run(tested: Circuit, outcome: Outcome) -> None:
    taken = attempt(definition_of(step), "1", None)
    tested.start(taken)
    tested.ended(taken, outcome)


def test_it_opens_at_its_share_and_not_before_it_has_seen_enough():
    clock = Clock()
    tested = circuit(clock)
    for outcome in (BAD, SAYS_NOTHING, BAD, GOOD):
        run(tested, outcome)
        assert not tested.is_full
    run(tested, GOOD)
    assert tested.is_full and tested.near == 0 and tested.reach == 0
    assert "ConnectionError" not in tested.reason  # the last one succeeded: it has no error


def test_one_probe_at_a_time_and_longer_pauses_until_one_succeeds():
    clock = Clock()
    tested = circuit(clock)
    for _ in range(4):
        run(tested, BAD)
    for pause in (100, 200, 400, 400):
        assert tested.free_at == clock.now + pause
        clock.now += pause - 1
        assert tested.is_full
        clock.now += 1
        assert not tested.is_full and tested.reach == 1
        probe = attempt(definition_of(step), "1", None)
        tested.start(probe)
        assert tested.is_full and tested.free_at is None
        run_before = attempt(definition_of(step), "2", None)  # it started before it was open
        tested.ended(run_before, GOOD)
        assert tested.is_full
        tested.ended(probe, BAD)
    clock.now += 400
    run(tested, SAYS_NOTHING)  # it was cancelled: the next one probes
    assert not tested.is_full and tested.reach == 1
    run(tested, GOOD)
    assert not tested.is_full and tested.reach > 1
    for _ in range(3):
        run(tested, BAD)
    assert not tested.is_full  # it has forgotten what it saw before


def test_the_last_attempt_counts_and_a_permanent_error_does_not():
    clock = Clock()
    tested = circuit(clock)
    spent = attempt(definition_of(step), "1", None)
    spent.used = spent.retry.attempts - 1
    for each in (spent, attempt(definition_of(step), "2", None)):
        for _ in range(4):
            tested.ended(each, Dead(FAILURE, is_permanent=True))
    assert not tested.is_full
    for _ in range(4):
        tested.ended(spent, Dead(FAILURE))
    assert tested.is_full


@given(st.lists(st.tuples(st.sampled_from([BAD, GOOD, SAYS_NOTHING]), st.integers(0, 300))))
def test_while_it_is_open_nothing_starts_but_probes(steps: list[tuple[Outcome, int]]):
    clock = Clock()
    tested = circuit(clock)
    for outcome, passes in steps:
        clock.now += passes
        is_open = tested.open_until is not None and clock.now < tested.open_until
        assert tested.is_full == is_open
        if not tested.is_full:
            run(tested, outcome)
