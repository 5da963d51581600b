"""The retry policy: bounds of the delays, and what each error leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import Discard, PermanentError, RetryAfter, Snooze
from streams.jobs.outcome import (
    MESSAGE_KEPT,
    TRACE_KEPT,
    Dead,
    Discarded,
    Outcome,
    Retrying,
    Snoozed,
    failure_of,
)
from streams.jobs.retry import Custom, Exponential, Fixed, Retry, next_delay_ms, outcome_of_error
from streams.jobs.retry import retry_mistakes as mistakes_of

ERROR = ValueError("no")
UNIT = st.floats(min_value=0, max_value=1, exclude_max=True)


def outcome(
    error: BaseException, retry: Retry | None = None, *, attempt: int = 1, of: int = 3
) -> Outcome:
    return outcome_of_error(
        error, attempt=attempt, max_attempts=of, retry=retry or FIXED, random=lambda: 0.5
    )


FIXED = Retry(backoff=Fixed("7s"))


@given(
    base=st.integers(0, 10**6),
    factor=st.floats(min_value=1, max_value=1e12),
    cap=st.integers(0, 10**9),
    attempt=st.integers(1, 10**9),
    drawn=UNIT,
)
def test_an_exponential_delay_is_between_nothing_and_its_cap(
    base: int, factor: float, cap: int, attempt: int, drawn: float
) -> None:
    backoff = Exponential(base=f"{base}ms", factor=factor, cap=f"{cap}ms")

    assert 0 <= next_delay_ms(backoff, attempt, ERROR, lambda: drawn) <= cap


@given(attempt=st.integers(1, 40), drawn=UNIT)
def test_full_jitter_draws_from_the_whole_of_the_grown_time(attempt: int, drawn: float) -> None:
    longest = min(600_000, 1_000 * 2 ** (attempt - 1))

    delay = next_delay_ms(Exponential(), attempt, ERROR, lambda: drawn)

    assert delay == round(drawn * longest)


@given(attempt=st.integers(1, 10**6))
def test_without_jitter_delays_never_shrink(attempt: int) -> None:
    backoff = Exponential(factor=1.001, cap="1d", jitter=False)

    delays = [next_delay_ms(backoff, n, ERROR, lambda: 0.0) for n in (attempt, attempt + 1)]

    assert delays == sorted(delays)


def test_a_slow_growth_still_reaches_its_cap() -> None:
    backoff = Exponential(factor=1.01, cap="10m", jitter=False)

    assert next_delay_ms(backoff, 1_000, ERROR, lambda: 0.0) == 600_000


def test_fixed_and_custom_delays() -> None:
    custom = Custom(lambda attempt, error: f"{attempt * len(str(error))}s")

    assert next_delay_ms(Fixed("5s"), 9, ERROR, lambda: 0.1) == 5_000
    assert next_delay_ms(custom, 3, ERROR, lambda: 0.1) == 6_000


def test_any_error_is_tried_again_until_the_attempts_are_spent() -> None:
    first, second, last = (outcome(ERROR, attempt=n) for n in (1, 2, 3))

    assert first == second == Retrying(7_000, failure_of(ERROR))
    assert last == Dead(failure_of(ERROR))


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionError()])
def test_a_timeout_is_transient(error: Exception) -> None:
    assert isinstance(outcome(error), Retrying)


def test_retry_after_takes_its_own_time_and_an_attempt() -> None:
    assert isinstance(retrying := outcome(RetryAfter("5m")), Retrying)
    assert retrying.after_ms == 300_000
    assert isinstance(outcome(RetryAfter("5m"), attempt=3), Dead)


def test_a_snooze_takes_no_attempt() -> None:
    assert outcome(Snooze("1h"), attempt=3) == Snoozed(3_600_000, False)
    assert outcome(Snooze("1h", blocks_key=True)) == Snoozed(3_600_000, True)


def test_a_discard_ends_the_job() -> None:
    assert outcome(Discard("too late"), attempt=3) == Discarded("too late")


@pytest.mark.parametrize(
    ("error", "retry", "dead"),
    [
        (PermanentError("x"), Retry(), True),
        (KeyError("x"), Retry(permanent=(LookupError,)), True),
        (KeyError("x"), Retry(permanent=(LookupError,), transient=(KeyError,)), False),
        (KeyError("x"), Retry(classify=lambda e: True), True),
        (KeyError("x"), Retry(permanent=(KeyError,), classify=lambda e: False), False),
        (KeyError("x"), Retry(permanent=(KeyError,), classify=lambda e: None), True),
        # what the handler says itself is stronger than what its policy says of types
        (PermanentError("x"), Retry(classify=lambda e: False), True),
        (RetryAfter("1s"), Retry(permanent=(Exception,)), False),
    ],
)
def test_which_errors_are_permanent(error: Exception, retry: Retry, dead: bool) -> None:
    assert isinstance(outcome(error, retry), Dead if dead else Retrying)
    # the last attempt says so, too: what was of no use is not what was tried in vain
    last = outcome(error, retry, attempt=3)
    assert isinstance(last, Dead)
    assert last.is_permanent == dead


def _raises(*_: Any) -> Any:
    raise RuntimeError("the policy is broken")


@pytest.mark.parametrize(
    ("error", "retry", "said"),
    [
        (ERROR, Retry(classify=_raises), "the policy is broken"),
        (ERROR, Retry(backoff=Custom(_raises)), "the policy is broken"),
        (ERROR, Retry(backoff=Custom(lambda n, e: "soon")), "'soon' is no duration"),
        (RetryAfter("later"), Retry(), "'later' is no duration"),
        (Snooze("later"), Retry(), "'later' is no duration"),
    ],
)
def test_a_broken_policy_still_has_an_outcome(error: Exception, retry: Retry, said: str) -> None:
    retrying = outcome(error, retry)
    dead = outcome(error, retry, attempt=4)

    assert isinstance(retrying, Retrying)
    assert said in retrying.failure.message
    assert isinstance(dead, Dead)


def test_a_failure_is_bounded_and_keeps_the_end_of_its_trace() -> None:
    def fail(depth: int) -> None:
        if depth:
            fail_again(depth - 1)
        raise KeyError("k" * 10_000)

    fail_again: Callable[[int], None] = fail
    with pytest.raises(KeyError) as raised:
        fail(50)

    failure = failure_of(raised.value)

    assert failure.type == "KeyError"
    assert len(failure.message) == MESSAGE_KEPT == 2_000
    assert len(failure.trace) == TRACE_KEPT == 8_000
    assert failure.trace.endswith("kkk'\n")
    assert failure_of(PermanentError()).type == "streams.errors.PermanentError"


def test_an_error_that_cannot_be_written_is_still_a_failure() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "__str__ failed" in failure_of(Mute()).message


@pytest.mark.parametrize(
    ("retry", "said"),
    [
        (Retry(attempts=0), "attempts=0"),
        (Retry(backoff=Fixed("soon")), "delay"),
        (Retry(backoff=Exponential(base="1 second")), "base"),
        (Retry(backoff=Exponential(cap="much")), "cap"),
        (Retry(backoff=Exponential(factor=0.5)), "factor"),
        (Retry(backoff="1s"), "backoff='1s'"),  # type: ignore[arg-type]
        (Retry(permanent=KeyError), "permanent"),  # type: ignore[arg-type]
        (5, "retry=5"),
    ],
)
def test_what_makes_no_sense_in_a_policy_is_told(retry: Any, said: str) -> None:
    [mistake] = mistakes_of(retry)

    assert said in mistake


def test_a_policy_that_makes_sense_has_no_mistakes() -> None:
    assert mistakes_of(Retry(backoff=Custom(lambda n, e: "1s"), permanent=(KeyError,))) == []
