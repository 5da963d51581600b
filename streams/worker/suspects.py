"""Jobs that may have ended the process they ran in: their starts are counted, and bounded.

An end without a drain leaves a mark in state. Whoever opens such a partition records the start of
each job that may have run at that moment, before it starts. A job that was there at two such ends
runs alone among its like, and one whose starts without an outcome reach the bound is dead: it
would go on ending workers for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from streams.wire.state import OpenEntry

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


@dataclass(slots=True, kw_only=True)
class Suspicion:
    """What may have run in one partition when its last owner ended without a drain."""

    is_due: bool  # it did
    opened_at: int
    queue_end: int  # of the queue, when the partition was opened
    suspects: Suspects  # of this process
    _recorded: set[bytes] = field(default_factory=set)

    def covers_arrival(self, offset: int) -> bool:
        """Whether the start of what arrives at this offset is to be recorded first."""
        return self.is_due and offset < self.queue_end

    def covers_entry(self, state_key: bytes, entry: OpenEntry) -> bool:
        """Whether the start of an open job is to be recorded first."""
        was_there = entry.arrival < self.queue_end  # what came later may wait without a time too
        could_have_run = was_there and (entry.due is None or entry.due <= self.opened_at)
        return self.is_due and could_have_run and state_key not in self._recorded

    def note(self, state_key: bytes) -> None:
        """Its start is being recorded."""
        self._recorded.add(state_key)

    def forget(self, state_key: bytes) -> None:
        """It did not start after all."""
        self._recorded.discard(state_key)
