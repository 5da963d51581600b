"""How an attempt can end, as values."""

from __future__ import annotations

import os
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType, TracebackType

from streams.redaction import redacted
from streams.values import immutable

MESSAGE_KEPT = 2_000  # characters
TRACE_KEPT = 8_000
FEW_FRAMES = 30  # of a deeper trace, repetitions are left out
_ENGINE = str(Path(__file__).parents[1] / "worker") + os.sep


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error in short: bounded, since it travels in headers and state."""

    type: str
    message: str
    trace: str


def failure_of(error: BaseException, secrets: Collection[str] = ()) -> Failure:
    """An exception as a bounded value without these; of a long trace the end is kept."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return Failure(
        type=f"{module}{kind.__qualname__}",
        message=told(_text(error), secrets)[:MESSAGE_KEPT],
        trace=told(trace_of(error), secrets)[-TRACE_KEPT:],
    )


def told(text: str, secrets: Collection[str]) -> str:
    """A text as it may be kept; to be cut only then, as nobody finds half of a secret."""
    return redacted(writable(text), secrets)


def trace_of(error: BaseException) -> str:
    """What `traceback.format_exception` says, from where the engine calls what is not its own.

    That looks at the sources again for each frame; a handler fails in the same few places, and what
    was said of a place is remembered here.
    """
    trace = _behind_the_engine(error.__traceback__)
    frames = list(islice(_frames(trace), FEW_FRAMES + 1))
    context = None if error.__suppress_context__ else error.__context__
    is_plain = error.__cause__ is None and context is None
    if not is_plain or len(frames) > FEW_FRAMES or isinstance(error, BaseExceptionGroup):
        return "".join(traceback.format_exception(type(error), error, trace))
    try:
        said = [_said_of(code.co_filename, code, at, line) for code, at, line in frames]
    except Exception:  # a frame that somebody made by hand
        return "".join(traceback.format_exception(type(error), error, trace))
    said += traceback.format_exception_only(error)
    return "".join(["Traceback (most recent call last):\n", *said] if frames else said)


_Frame = tuple[CodeType, int, int]  # its code, the instruction, the line


def _behind_the_engine(trace: TracebackType | None) -> TracebackType | None:
    """What it called; all of it, if it has failed itself."""
    behind = trace
    while behind is not None and behind.tb_frame.f_code.co_filename.startswith(_ENGINE):
        behind = behind.tb_next
    return trace if behind is None else behind


def _frames(trace: TracebackType | None) -> Iterator[_Frame]:
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lasti, trace.tb_lineno
        trace = trace.tb_next


@lru_cache(maxsize=1_000)
def _said_of(file: str, code: CodeType, instruction: int, line: int) -> str:
    # With its file: equal code of two files is equal.
    positions = next(islice(code.co_positions(), instruction // 2, None))
    _, end_line, column, end_column = positions
    place = traceback.FrameSummary(
        file,
        line,
        code.co_name,
        end_lineno=end_line,
        colno=column,
        end_colno=end_column,
    )
    return traceback.StackSummary.from_list([place]).format()[0]


def writable(text: str) -> str:
    """Text that can be encoded: half a surrogate pair (from `os.fsdecode`, say) is replaced."""
    return text.encode("utf-8", "replace").decode()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the application's __str__, as broken as what it reports
        return f"<{type(error).__qualname__} without a message: its __str__ failed>"


@immutable(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """Where a result is that was too large to be kept with its job."""

    path: str  # in object storage
    size: int  # bytes


@immutable(frozen=True, slots=True)
class Completed:
    """It returned; `result` is JSON, or None; a large one is `stored` elsewhere."""

    result: bytes | None
    stored: StoredResult | None = None


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


@immutable(frozen=True, slots=True)
class Held:
    """It had its turn, and a limit has no room for it for a while; no attempt is used up.

    It did not start, or only to see whether others may: with a failure, that they may not.
    """

    limit: str
    reason: str
    failure: Failure | None = None


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
    is_permanent: bool = False  # trying again is of no use, however many attempts are left


Ending = Completed | Discarded | Expired | Cancelled
Opening = Retrying | Snoozed | Held | Dead  # its job is in the open table afterwards
Outcome = Ending | Opening
