"""How fast jobs start, or end, as it was seen lately. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_PACE_MS: Final = 5_000
_LEAST_MS: Final = 200


class Pace:
    """How many in a second, by what was counted in the last ten seconds or less."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._since = now()
        self._count = 0
        self._before = 0
        self._is_first = True

    def count(self) -> None:
        """One starts, or ends."""
        self._turn()
        self._count += 1

    def per_second(self) -> float:
        """The pace; it is no more than what was seen, as long as little was."""
        elapsed = self._turn()
        if self._is_first:
            return self._count * 1_000 / max(_LEAST_MS, elapsed)
        return (self._before + self._count) * 1_000 / (_PACE_MS + elapsed)

    def _turn(self) -> int:
        elapsed = self._now() - self._since
        if not 0 <= elapsed < _PACE_MS:
            self._before = self._count if 0 <= elapsed < 2 * _PACE_MS else 0
            self._count = 0
            self._since = self._now()
            self._is_first = False
            return 0
        return elapsed
