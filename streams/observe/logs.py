"""Structured logs: one line for each thing that happens to a job, never its payload."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from streams.jobs.lifecycle import Happening, LifecycleEvent

_LEVELS = {
    Happening.STARTED: logging.DEBUG,
    Happening.SCHEDULED: logging.DEBUG,
    Happening.PARKED: logging.DEBUG,
    Happening.DUPLICATE: logging.DEBUG,
    Happening.RETRYING: logging.WARNING,
    Happening.EXPIRED: logging.WARNING,
    Happening.DEAD: logging.ERROR,
    Happening.UNDECODABLE: logging.ERROR,
}
_LIBRARIES = ("faust", "mode", "aiokafka", "asyncio")

_log = structlog.stdlib.get_logger("streams.jobs")


def configure(form: Literal["json", "console"] = "console", level: int = logging.INFO) -> None:
    """Send our logs and the libraries' through one formatter, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_lifecycle(event: LifecycleEvent) -> None:
    """The listener: retries tell attempt, error and next time; endings tell how long they took."""
    level = _LEVELS.get(event.happening, logging.INFO)
    if not logging.getLogger("streams.jobs").isEnabledFor(level):
        return
    fields = {
        "job_id": event.id,
        "job_name": event.name,
        "queue": event.queue,
        "key": event.key,
        "attempt": event.attempt or None,
        "duration_ms": event.ran_ms,
        "waited_ms": event.waited_ms,
        "due": event.due,
        "error_type": event.error_type,
        "error": event.error,
        "traceparent": event.traceparent,
    }
    _log.log(level, event.happening.value, **{k: v for k, v in fields.items() if v is not None})
