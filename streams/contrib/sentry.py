"""Failures of jobs in Sentry; needs the extra `sentry`."""

from __future__ import annotations

from collections.abc import Collection
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import sentry_sdk

from streams.jobs.middleware import Middleware
from streams.jobs.outcome import Dead, Outcome, Retrying
from streams.redaction import redacted

if TYPE_CHECKING:
    from streams.contracts import Event, JobPayload
    from streams.jobs.context import JobContext

__all__ = ["SentryMiddleware"]

_raised: ContextVar[BaseException | None] = ContextVar("sentry_raised", default=None)


class SentryMiddleware(Middleware):
    """Sends what jobs die of, with job, id and attempt as tags; with `retries` each failure.

    Call `sentry_sdk.init(...)` beside it. Local variables are left out: a payload is among them.
    """

    def __init__(self, *, retries: bool = False) -> None:
        self._kinds = (Dead, Retrying) if retries else (Dead,)

    async def after(
        self, ctx: JobContext, payload: Event | JobPayload, error: BaseException | None
    ) -> None:
        """Keep what the handler raised, until it is known what becomes of the job."""
        _raised.set(error)

    async def on_outcome(self, ctx: JobContext, outcome: Outcome) -> None:
        """Send it."""
        if ctx.shadow or not isinstance(outcome, self._kinds):
            return  # in shadow nobody has to be woken
        with sentry_sdk.new_scope() as scope:
            scope.set_transaction_name(ctx.name)
            scope.set_tag("job.name", ctx.name)
            scope.set_tag("job.id", ctx.id)
            scope.set_tag("job.attempt", ctx.attempt)
            scope.set_tag("job.outcome", type(outcome).__name__.lower())
            scope.add_event_processor(partial(_cleaned, ctx.secrets))
            error = _raised.get()
            if isinstance(error, Exception):
                sentry_sdk.capture_exception(error)
                return
            # It ran in another process, or was interrupted.
            failure = outcome.failure
            sentry_sdk.capture_event(
                {
                    "level": "error",
                    "exception": {"values": [{"type": failure.type, "value": failure.message}]},
                    "extra": {"trace": failure.trace},
                }
            )


def _cleaned(secrets: Collection[str], event: Any, hint: Any) -> Any:
    for value in event.get("exception", {}).get("values", ()):
        if isinstance(value.get("value"), str):
            value["value"] = redacted(value["value"], secrets)
        for frame in (value.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    return event
