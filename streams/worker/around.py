"""Runs an attempt within its middleware."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from streams.contracts import Event, JobPayload
from streams.errors import Discard, PermanentError, RetryAfter, Snooze
from streams.jobs.context import JobContext
from streams.jobs.middleware import Middleware
from streams.jobs.outcome import Outcome, trace_of
from streams.redaction import redacted

logger = logging.getLogger(__name__)

R = TypeVar("R")

_VERDICTS: Final = (Discard, PermanentError, RetryAfter, Snooze)


async def call_within(
    middleware: Sequence[Middleware],
    context: JobContext,
    payload: Event | JobPayload,
    call: Callable[[], Awaitable[R]],
) -> R:
    """What `call` returns or raises, with each middleware's `before` and `after` around it."""
    entered: list[Middleware] = []
    error: BaseException | None = None
    try:
        await enter_all(middleware, context, payload, entered)
        return await call()
    except BaseException as raised:
        error = raised
        raise
    finally:
        await leave_all(entered, context, payload, error)


async def enter_all(
    middleware: Sequence[Middleware],
    context: JobContext,
    payload: Event | JobPayload,
    entered: list[Middleware],
) -> None:
    """Call each `before`; `entered` gets those that were called.

    Raises:
        Discard, PermanentError, RetryAfter, Snooze: one of them has decided so.
    """
    for each in middleware:
        entered.append(each)
        try:
            await each.before(context, payload)
        except _VERDICTS:
            raise
        except Exception:
            _tell(each, "before", context)


async def leave_all(
    entered: Sequence[Middleware],
    context: JobContext,
    payload: Event | JobPayload,
    error: BaseException | None,
) -> None:
    """Call each `after`, the last one first."""
    for each in reversed(entered):
        await _guarded(each, "after", context, each.after(context, payload, error))


async def tell_outcome(
    middleware: Sequence[Middleware], context: JobContext, outcome: Outcome
) -> None:
    """Tell each middleware what was decided."""
    for each in reversed(middleware):
        await _guarded(each, "on_outcome", context, each.on_outcome(context, outcome))


async def _guarded(
    middleware: Middleware, what: str, context: JobContext, work: Awaitable[Any]
) -> None:
    try:
        await work
    except Exception:  # a cancellation goes on: the attempt is over
        _tell(middleware, what, context)


def _tell(middleware: Middleware, what: str, context: JobContext) -> None:
    # What the handler raised, which may say what is sensitive, is the context of this error.
    error = sys.exception()
    trace = "" if error is None else redacted(trace_of(error), context.secrets)
    logger.error(
        "%s.%s failed for %s %s; the job goes on without it\n%s",
        type(middleware).__name__,
        what,
        context.name,
        context.id,
        trace,
    )
