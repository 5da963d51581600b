"""Structured logs: one line for each thing that happens to a job, never its payload."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, Literal, TextIO

import structlog

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.observe.seldom import Seldom
from streams.wire.times import LATEST, show_time

_LEVELS: Final = {
    Happening.STARTED: logging.DEBUG,
    Happening.SCHEDULED: logging.DEBUG,
    Happening.PARKED: logging.DEBUG,
    Happening.DUPLICATE: logging.DEBUG,
    Happening.PROGRESS: logging.DEBUG,
    Happening.CHECKPOINTED: logging.DEBUG,
    Happening.RETRYING: logging.WARNING,
    Happening.EXPIRED: logging.WARNING,
    Happening.ABANDONED: logging.WARNING,
    Happening.DEAD: logging.ERROR,
    Happening.UNDECODABLE: logging.ERROR,
}  # the others: info
_OUTCOMES: Final = frozenset(
    {
        Happening.COMPLETED,
        Happening.RETRYING,
        Happening.SLEEPING,
        Happening.DISCARDED,
        Happening.CANCELLED,
        Happening.EXPIRED,
        Happening.DEAD,
    }
)
_TRACE_KEPT: Final = 4_000  # characters, of which the last tell most
_LIBRARIES: Final = ("faust", "mode", "aiokafka", "asyncio")

_logger = logging.getLogger("streams.jobs")
_log = structlog.stdlib.get_logger("streams.jobs")


def configure(
    format: Literal["json", "console"] = "console", level: int | str = logging.INFO
) -> None:
    """Send our logs and the libraries' through one formatter, to standard error.

    Replaces the root logger's handlers; call it again after a library installed its own.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    stream = _real_stderr()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(format, stream),
            ],
        )
    )
    handler.addFilter(Seldom(_LIBRARIES))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_lifecycle(event: LifecycleEvent) -> None:
    """The listener: retries tell attempt, error and next time; endings tell how long they took.

    What failed has its traceback, without local variables.
    """
    level = _LEVELS.get(event.happening, logging.INFO)
    if not _logger.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        "job_id": event.id or None,
        "job_name": event.name or None,
        "queue": event.queue,
        "attempt": event.attempt or None,
        "outcome": event.happening.value if event.happening in _OUTCOMES else None,
        "duration_ms": event.ran_ms,
        "waited_ms": event.waited_ms,
        "due": None if event.due is None else show_time(min(event.due, LATEST)),
        "error_type": event.error_type,
        "error": event.error,
        # By this name a console shows it below the line, and a collector finds it.
        "exception": None if event.trace is None else event.trace[-_TRACE_KEPT:],
        "trace_id": trace_id(event.traceparent),
    }
    _log.log(level, event.happening.value, **{k: v for k, v in fields.items() if v is not None})


def trace_id(traceparent: str | None) -> str | None:
    """The trace id in a W3C `traceparent`; None without one, or if it is malformed."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else None


def _rendering(
    format: Literal["json", "console"], stream: TextIO
) -> list[structlog.typing.Processor]:
    if format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Not the default traceback: that one shows local variables, and so payloads.
    return [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _real_stderr() -> TextIO:
    """Standard error, also once mode has put a proxy there that writes into the logs again."""
    if type(sys.stderr).__module__.startswith("mode.") and sys.__stderr__ is not None:
        return sys.__stderr__
    return sys.stderr
