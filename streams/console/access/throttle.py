"""How often somebody may guess: so many failures within a minute, from one address and from all."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 60
_OF_ONE: Final = 5
_OF_ALL: Final = 60


class Throttle:
    """Counts failures; times in seconds, of any clock."""

    def __init__(self) -> None:
        self._failures: deque[tuple[float, str]] = deque(maxlen=_OF_ALL)

    def wait_s(self, address: str, now: float) -> int:
        """For how long this address may not try; 0: it may now."""
        while self._failures and self._failures[0][0] <= now - WINDOW_S:
            self._failures.popleft()
        own = [at for at, its in self._failures if its == address]
        if len(own) >= _OF_ONE:
            return max(1, int(own[0] + WINDOW_S - now) + 1)
        if len(self._failures) >= _OF_ALL:
            return max(1, int(self._failures[0][0] + WINDOW_S - now) + 1)
        return 0

    def failed(self, address: str, now: float) -> None:
        """It was wrong."""
        self._failures.append((now, address))
