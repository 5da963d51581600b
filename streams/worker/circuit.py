"""The breaker of a definition in this worker: closed, open, or letting one probe pass. Pure."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streams.durations import format_ms
from streams.jobs.outcome import Completed, Dead, Held, Outcome, Retrying
from streams.worker.attempt import Attempt
from streams.worker.limit import FREED_AT_ONCE, Limit

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Circuit(Limit):
    """Open, it holds everything of its definition in the open table; no attempt is used up."""

    of_name: str = ""
    share: float = 1.0
    of: int = 1
    pause_ms: int = 0
    at_most_ms: int = 0
    ended_lately: deque[bool] = field(default_factory=deque)  # whether they failed
    open_until: int | None = None
    next_pause_ms: int = 0
    on_closed: Callable[[str], None] = lambda of_name: None
    probe: Attempt | None = None

    @property
    def is_full(self) -> bool:
        return self.open_until is not None and not self.room

    @property
    def room(self) -> int:
        """How many may start now."""
        if self.open_until is None:
            return FREED_AT_ONCE
        return 1 if self.probe is None and self.now() >= self.open_until else 0

    @property
    def free_at(self) -> int | None:
        return None if self.probe is not None else self.open_until

    @property
    def near(self) -> int:
        return 0  # while it is open, and else nobody waits for it

    @property
    def reach(self) -> int:
        return self.room

    @property
    def is_idle(self) -> bool:
        return False  # what it has seen goes on to matter

    @property
    def is_one_of_many(self) -> bool:
        return False

    def start(self, attempt: Attempt) -> None:
        """It starts; if the circuit is open, as its probe."""
        self.running += 1
        if self.open_until is not None:
            self.probe = attempt

    def withdraw(self, attempt: Attempt) -> None:
        """It waits again: it may be the probe then, or another one is."""
        if attempt is self.probe:
            self.probe = None

    def ended(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        """An attempt that had started ended; a probe that failed was no attempt of its job."""
        has_failed = failed(outcome)
        if self.open_until is None:
            if has_failed is not None:
                self._count(has_failed, outcome)
        elif attempt is self.probe:
            self.probe = None
            if has_failed is False:
                self._close()
            elif has_failed:
                self._open(outcome, min(2 * self.next_pause_ms, self.at_most_ms))
                assert isinstance(outcome, (Retrying, Dead))
                return Held(self.name, self.reason, outcome.failure)
        return outcome

    def _count(self, has_failed: bool, outcome: Outcome) -> None:
        self.ended_lately.append(has_failed)
        while len(self.ended_lately) > self.of:
            self.ended_lately.popleft()
        if len(self.ended_lately) == self.of and sum(self.ended_lately) >= self.share * self.of:
            self._open(outcome, self.pause_ms)

    def _open(self, outcome: Outcome, pause_ms: int) -> None:
        self.open_until = self.now() + pause_ms
        self.next_pause_ms = pause_ms
        failure = outcome.failure if isinstance(outcome, (Retrying, Dead)) else None
        error = "" if failure is None else f", {failure.type}: {failure.message}"[:200]
        self.reason = f"the breaker of {self.of_name} is open: too many attempts failed{error}"
        logger.warning("%s; nothing of it starts for %s", self.reason, format_ms(pause_ms))

    def _close(self) -> None:
        self.open_until = None
        self.ended_lately.clear()
        logger.info("the breaker of %s is closed: its probe succeeded", self.of_name)
        self.on_closed(self.of_name)


def failed(outcome: Outcome) -> bool | None:
    """Whether an attempt speaks against what it depends on; None: it says nothing of it.

    An error that is permanent says something about the job.
    """
    match outcome:
        case Completed():
            return False
        case Retrying():
            return True
        case Dead(is_permanent=is_permanent):
            return None if is_permanent else True
        case _:
            return None
