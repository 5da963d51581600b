"""Keeps a library from saying the same thing a hundred times a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

EVERY: Final = 10.0  # seconds
KINDS_KEPT: Final = 1_000


class Seldom(logging.Filter):
    """Lets each kind of message of these loggers pass once in a while, and says how often it came.

    Kinds are told apart by their template: without a broker aiokafka's name node after node.
    """

    def __init__(self, loggers: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._loggers = tuple(loggers)
        self._clock = clock
        self._told: dict[tuple[str, int, str], tuple[float, int]] = {}  # when, and dropped since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes; what is not of these loggers always does."""
        if not record.name.startswith(self._loggers):
            return True
        kind = (record.name, record.levelno, str(record.msg))
        now = self._clock()
        at, dropped = self._told.get(kind, (now - EVERY, 0))
        if now < at + EVERY:
            self._told[kind] = (at, dropped + 1)
            return False
        if len(self._told) >= KINDS_KEPT:
            self._told.clear()
        self._told[kind] = (now, 0)
        if dropped:
            record.msg = f"{record.getMessage()} ({dropped} more like it since it was told last)"
            record.args = ()
        return True
