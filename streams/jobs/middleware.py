"""What an application does around every attempt, whatever its handler: the base class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streams.contracts import Event, JobPayload
from streams.jobs.context import JobContext
from streams.jobs.outcome import Outcome

__all__ = ["Middleware", "middleware_mistakes"]


class Middleware:
    """Override what you need; each is called in the worker, wherever the handler runs.

    What they raise is logged, and harms no job. Those of a worker come before those of a
    definition; `after` and `on_outcome` are called in reverse. The time that they take is a part of
    the attempt's, so that its timeout holds for them, too.
    """

    async def before(self, ctx: JobContext, payload: Event | JobPayload) -> None:
        """An attempt begins; context variables that are set here are seen by its handler.

        It may decide instead of the handler, which is not called then, by raising `Discard`,
        `Snooze`, `RetryAfter` or `PermanentError`.
        """

    async def after(
        self, ctx: JobContext, payload: Event | JobPayload, error: BaseException | None
    ) -> None:
        """The handler returned, or raised `error`: CancelledError if it was interrupted.

        Called for whatever `before` was. What a handler raises in a process of its own is known to
        `on_outcome` only.
        """

    async def on_outcome(self, ctx: JobContext, outcome: Outcome) -> None:
        """What becomes of the job is decided (see `streams.jobs.outcome`), and not durable yet."""


def middleware_mistakes(given: Iterable[Any]) -> list[str]:
    """What of this is no middleware, a line for each."""
    return [
        f"middleware: {each!r} is no instance of streams.Middleware"
        + (f": write {each.__name__}()" if isinstance(each, type) else "")
        for each in given
        if not isinstance(each, Middleware)
    ]
