"""How an attempt can end, as values."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from streams.values import immutable

MESSAGE_KEPT = 2_000  # characters
TRACE_KEPT = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error in short: bounded, since it travels in headers and state."""

    type: str
    message: str
    trace: str


def failure_of(error: BaseException) -> Failure:
    """An exception as a bounded value; of a long trace the end is kept."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    trace = "".join(traceback.format_exception(error))
    return Failure(
        type=f"{module}{kind.__qualname__}",
        message=writable(_text(error))[:MESSAGE_KEPT],
        trace=writable(trace)[-TRACE_KEPT:],
    )


def writable(text: str) -> str:
    """Text that can be encoded: half a surrogate pair (from `os.fsdecode`, say) is replaced."""
    return text.encode("utf-8", "replace").decode()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the application's __str__, as broken as what it reports
        return f"<{type(error).__qualname__} without a message: its __str__ failed>"


@immutable(frozen=True, slots=True)
class Completed:
    """It returned; `result` is JSON, or None."""

    result: bytes | None


@dataclass(frozen=True, slots=True)
class Retrying:
    """It failed, and is tried again after this time."""

    after_ms: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Snoozed:
    """It asked to run again later, without using up an attempt."""

    for_ms: int
    blocks_key: bool = False


@dataclass(frozen=True, slots=True)
class Discarded:
    """It asked to be ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Expired:
    """It waited longer than it was worth."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody asked to end it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """It failed for good."""

    failure: Failure


Outcome = Completed | Retrying | Snoozed | Discarded | Expired | Cancelled | Dead
