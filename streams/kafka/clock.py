"""The wall clock, with calls that are never early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LONGEST_SLEEP_MS = 60_000  # a step of the clock is noticed within this time


def _nothing() -> None:
    pass


class WallAlarm:
    """A call at a time of the wall clock, which may step meanwhile."""

    def __init__(self, when: int, callback: Callable[[], None]) -> None:
        self._when = when
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(self._delay(), self._check)

    def cancel(self) -> None:
        """Forget it, and what it holds: the handle leads back to us."""
        self._handle.cancel()
        self._callback = _nothing

    def _delay(self) -> float:
        return min(max(self._when - now(), 0), LONGEST_SLEEP_MS) / 1000

    def _check(self) -> None:
        # The loop counts monotonic time: look at the wall clock again before calling.
        if now() >= self._when:
            self._callback()
        else:
            self._handle = self._loop.call_later(max(self._delay(), 0.0005), self._check)


def now() -> int:
    """Milliseconds since the epoch, rounded down: what is due at this time is due."""
    return time.time_ns() // 1_000_000


class WallClock:
    """The machine's clock."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return now()

    def elapsed(self) -> int:
        """Milliseconds of monotonic time."""
        return time.monotonic_ns() // 1_000_000

    def call_at(self, when: int, callback: Callable[[], None]) -> WallAlarm:
        """Call when the wall clock shows `when` or later."""
        return WallAlarm(when, callback)
