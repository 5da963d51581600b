"""A pace: so many a second, and no more."""

from __future__ import annotations

import asyncio
import re
from typing import Final

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0}
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)")


def per_second(rate: str) -> float:
    """How many a second "50/s", "100/m" or "1000/h" are.

    Raises:
        ValueError: it is no rate.
    """
    found = _RATE.fullmatch(rate.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"{rate!r} is no rate: write 50/s, 100/m or 1000/h")
    return float(found[1]) / _UNITS[found[2]]


class Pace:
    """Lets one through at a time; without a rate all at once."""

    def __init__(self, per_second: float | None) -> None:
        self._distance = 0.0 if per_second is None else 1 / per_second
        self._next = 0.0

    @property
    def is_slow(self) -> bool:
        """Whether it makes anybody wait."""
        return self._distance > 0

    async def turn(self) -> None:
        """Wait until the next one may go."""
        if not self._distance:
            return
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._distance
        if at > now:
            await asyncio.sleep(at - now)
