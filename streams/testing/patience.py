"""How a test waits for what really takes time: at once at first, then at rest."""

from __future__ import annotations

import asyncio
from typing import Final

AT_ONCE: Final = 100
"""So many looks need no more than that others go on; what is not there then waits for the world."""
LONGEST_S: Final = 0.01


class Patience:
    """Between two looks at whether something is over.

    By the number of looks, not by a clock: what needs nothing from outside goes the same way in
    every run.
    """

    def __init__(self) -> None:
        self._looks = 0

    async def rest(self) -> None:
        """Let others go on; the more often it was looked in vain, the longer."""
        self._looks += 1
        late = self._looks - AT_ONCE
        await asyncio.sleep(0 if late <= 0 else min(late / 1_000, LONGEST_S))

    def renew(self) -> None:
        """Something moved."""
        self._looks = 0
