"""Jobs that may have ended the process they ran in: their starts are counted, and bounded.

An end without a drain leaves a mark in state. Whoever opens such a partition records the start of
each job that may have run at that moment, before it starts. A job that was there at two such ends
runs alone among its like, and one whose starts without an outcome reach the bound is dead: it
would go on ending workers for ever.
"""

from __future__ import annotations

from typing import Final

LEAST_STARTS: Final = 3  # also for jobs with fewer attempts: a crash is rarely the job's fault
ALONE_FROM: Final = 2  # unfinished starts
ALONE_MS: Final = 60_000  # a suspect that has run for so long makes way for the next one


def is_given_up(starts: int, attempts: int) -> bool:
    """Whether a job has been started too often without an outcome."""
    return starts >= max(attempts, LEAST_STARTS)


class Suspects:
    """Lets suspects of one process run one at a time."""

    def __init__(self) -> None:
        self._running: bytes | None = None
        self._since = 0

    def may_start(self, state_key: bytes, starts: int, now: int) -> bool:
        """Whether a job may start; one that may is remembered as running."""
        if starts < ALONE_FROM or self._running == state_key:
            return True
        if self._running is not None and now < self._since + ALONE_MS:
            return False
        self._running, self._since = state_key, now
        return True

    def ended(self, state_key: bytes) -> None:
        """A job has an outcome, or is not ours any more."""
        if self._running == state_key:
            self._running = None

    def next_start(self) -> int:
        """When the one that runs makes way."""
        return self._since + ALONE_MS
