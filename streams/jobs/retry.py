"""The retry policy: pure functions from an error to what becomes of the job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streams.errors import Discard, PermanentError, RetryAfter, Snooze
from streams.jobs.durations import Duration, to_ms
from streams.jobs.outcome import Dead, Discarded, Outcome, Retrying, Snoozed, failure_of

Random = Callable[[], float]  # uniform in [0, 1)
Classify = Callable[[BaseException], bool | None]

EXPONENT_MAX = 63  # beyond it every cap is reached; keeps large attempts from overflowing


@dataclass(frozen=True, slots=True)
class Exponential:
    """base * factor^(n-1) before attempt n+1, at most `cap`, with full jitter.

    Full jitter draws uniformly between nothing and that time, so that what failed together does
    not return together ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    base: Duration = "1s"
    factor: float = 2.0
    cap: Duration = "10m"
    jitter: bool = True


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same time."""

    delay: Duration


@dataclass(frozen=True, slots=True)
class Custom:
    """A function of (the attempt that failed, the error)."""

    fn: Callable[[int, BaseException], Duration]


Backoff = Exponential | Fixed | Custom


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when a job is tried again, and which errors are of no use to retry.

    `classify` is asked first (True: permanent, False: transient, None: no opinion); then the
    types in `transient`, then those in `permanent`. Anything else is transient.
    """

    attempts: int = 3
    backoff: Backoff = Exponential()
    permanent: tuple[type[BaseException], ...] = ()
    transient: tuple[type[BaseException], ...] = ()
    classify: Classify | None = None


def next_delay_ms(backoff: Backoff, attempt: int, error: BaseException, random: Random) -> int:
    """Milliseconds to wait after attempt number `attempt` (from 1) failed with `error`."""
    match backoff:
        case Fixed(delay=delay):
            return to_ms(delay)
        case Custom(fn=fn):
            return to_ms(fn(attempt, error))
        case Exponential(base=base, factor=factor, cap=cap, jitter=jitter):
            grown = to_ms(base) * factor ** min(attempt - 1, EXPONENT_MAX)
            longest = min(float(to_ms(cap)), grown)
            return round(random() * longest if jitter else longest)


def is_permanent(error: BaseException, retry: Retry) -> bool:
    """Whether trying again is of no use."""
    if retry.classify is not None:
        opinion = retry.classify(error)
        if opinion is not None:
            return opinion
    if isinstance(error, retry.transient):
        return False
    return isinstance(error, (PermanentError, *retry.permanent))


def outcome_of_error(
    error: BaseException, *, attempt: int, max_attempts: int, retry: Retry, random: Random
) -> Outcome:
    """What becomes of a job whose attempt number `attempt` raised `error`."""
    match error:
        case Snooze(for_=for_, blocks_key=blocks_key):
            return Snoozed(to_ms(for_), blocks_key)
        case Discard(reason=reason):
            return Discarded(reason)
    failure = failure_of(error)
    if attempt >= max_attempts or is_permanent(error, retry):
        return Dead(failure)
    if isinstance(error, RetryAfter):
        return Retrying(to_ms(error.after), failure)
    return Retrying(next_delay_ms(retry.backoff, attempt, error, random), failure)
