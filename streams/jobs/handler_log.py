"""`ctx.log`: a logger whose last lines are kept with the job."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from streams.jobs.notes import LINE_MAX, LogLine
from streams.redaction import redacted


class HandlerLog(logging.Logger):
    """Logs to `streams.handlers.<name of the job>`, and keeps what it logs.

    From INFO on all is kept, whatever that logger's level; below that what it logs, too.
    """

    def __init__(
        self,
        name: str,
        attempt: int,
        keep: Callable[[LogLine], None],
        secrets: Collection[str] = (),
    ) -> None:
        super().__init__(f"streams.handlers.{name}")
        self._ours = logging.getLogger(self.name)
        self._attempt = attempt
        self._keep = keep
        self._secrets = secrets

    def isEnabledFor(self, level: int) -> bool:
        """See `logging.Logger.isEnabledFor`."""
        return level >= logging.INFO or self._ours.isEnabledFor(level)

    def handle(self, record: logging.LogRecord) -> None:
        """See `logging.Logger.handle`."""
        if self._secrets:
            _redact(record, self._secrets)
        self._keep(line_of(record, self._attempt))
        if self._ours.isEnabledFor(record.levelno):
            self._ours.handle(record)


def _redact(record: logging.LogRecord, secrets: Collection[str]) -> None:
    """Take what is sensitive out of a record, before anybody sees it."""
    try:
        text = record.getMessage()
    except Exception:
        text = str(record.msg)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        text = f"{text}: {type(error).__name__}: {error}"
    record.msg, record.args = redacted(text, secrets), None
    record.exc_info = record.exc_text = record.stack_info = None


def line_of(record: logging.LogRecord, attempt: int) -> LogLine:
    """A record as it is kept: one line, of bounded length, that any encoding takes."""
    try:
        text = record.getMessage()
    except Exception:  # its arguments do not fit; `logging` tells that by itself
        text = str(record.msg)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        text = f"{text}: {type(error).__name__}: {error}"
    if len(text) > LINE_MAX:
        text = text[: LINE_MAX - 1] + "…"
    return LogLine(
        at=int(record.created * 1000),
        attempt=attempt,
        level=record.levelname,
        text=text.encode(errors="replace").decode(),
    )
