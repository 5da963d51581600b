"""The retry policy: pure functions from an error to what becomes of the job."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from streams.durations import Duration, to_ms
from streams.errors import Discard, PermanentError, RetryAfter, Snooze
from streams.jobs.outcome import (
    MESSAGE_KEPT,
    Dead,
    Discarded,
    Outcome,
    Retrying,
    Snoozed,
    failure_of,
    told,
)

Random = Callable[[], float]  # uniform in [0, 1)
Classify = Callable[[BaseException], bool | None]


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

    What a handler says itself comes first: `PermanentError` is permanent, `RetryAfter` is not.
    Then `classify` is asked (True: permanent, False: transient, None: no opinion); then the types
    in `transient`, then those in `permanent`. Anything else is transient, a timeout included.
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
        case Exponential(cap=cap, jitter=jitter):
            longest = min(float(to_ms(cap)), _grown(backoff, attempt))
            return round(random() * longest if jitter else longest)


def _grown(backoff: Exponential, attempt: int) -> float:
    base = float(to_ms(backoff.base))
    try:
        return base * float(backoff.factor) ** (attempt - 1) if base else 0.0
    except OverflowError:
        return float("inf")


def is_permanent(error: BaseException, retry: Retry) -> bool:
    """Whether trying again is of no use."""
    if isinstance(error, PermanentError | RetryAfter):
        return isinstance(error, PermanentError)
    opinion = None if retry.classify is None else retry.classify(error)
    if opinion is not None:
        return opinion
    return not isinstance(error, retry.transient) and isinstance(error, retry.permanent)


def outcome_of_error(
    error: BaseException,
    *,
    attempt: int,
    max_attempts: int,
    retry: Retry,
    random: Random,
    secrets: Collection[str] = (),
) -> Outcome:
    """What becomes of a job whose attempt number `attempt` raised `error`.

    `secrets` are kept out of what is said of it.
    """
    try:
        return _decide(error, attempt, max_attempts, retry, random, secrets)
    except Exception as mistake:
        # `classify`, a custom backoff and the durations in what a handler raises are the
        # application's: an error there must not leave the job without an outcome.
        failure = failure_of(mistake, secrets)
        if attempt >= max_attempts:
            return Dead(failure)
        return Retrying(next_delay_ms(Exponential(), attempt, error, random), failure)


def retry_mistakes(retry: Retry) -> list[str]:
    """What makes no sense in a policy, one line each."""
    if not isinstance(retry, Retry):
        return [f"retry={retry!r}: write retry=Retry(attempts=5)"]
    mistakes = []
    if type(retry.attempts) is not int or retry.attempts < 1:
        mistakes.append(f"attempts={retry.attempts!r}: at least 1 is needed to run at all")
    for option in ("permanent", "transient"):
        types = getattr(retry, option)
        if not isinstance(types, tuple) or not all(
            isinstance(kind, type) and issubclass(kind, BaseException) for kind in types
        ):
            mistakes.append(f"{option}={types!r}: write a tuple of exceptions, as in (KeyError,)")
    match retry.backoff:
        case Fixed(delay=delay):
            _check("delay", delay, mistakes)
        case Exponential(base=base, factor=factor, cap=cap):
            _check("base", base, mistakes)
            _check("cap", cap, mistakes)
            if not factor >= 1:
                mistakes.append(f"backoff: factor={factor!r} must be at least 1")
        case Custom():
            pass
        case other:
            mistakes.append(f"backoff={other!r}: write Exponential(...), Fixed(...) or Custom(...)")
    return mistakes


def _decide(
    error: BaseException,
    attempt: int,
    max_attempts: int,
    retry: Retry,
    random: Random,
    secrets: Collection[str],
) -> Outcome:
    match error:
        case Snooze(for_=for_, blocks_key=blocks_key):
            return Snoozed(to_ms(for_), blocks_key)
        case Discard(reason=reason):
            return Discarded(told(str(reason), secrets)[:MESSAGE_KEPT])
    failure = failure_of(error, secrets)
    if is_permanent(error, retry):
        return Dead(failure, is_permanent=True)
    if attempt >= max_attempts:
        return Dead(failure)
    if isinstance(error, RetryAfter):
        return Retrying(to_ms(error.after), failure)
    return Retrying(next_delay_ms(retry.backoff, attempt, error, random), failure)


def _check(option: str, duration: Duration, mistakes: list[str]) -> None:
    try:
        to_ms(duration)
    except ValueError as error:
        mistakes.append(f"backoff: {option}: {error}")
