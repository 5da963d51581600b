"""Jobs that were told to end, and are not settled yet: until then a crash must find their command.

A handler may take its time to unwind, and of jobs in one call one ends with the others. Noted as
obeyed before that, a cancel would be lost with its worker, and the job would run again.
"""

from __future__ import annotations

from streams.worker.attempt import Attempt
from streams.worker.hand import Hand


class Ending:
    """Those of one partition, by the offset of the command that ends them."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._told: dict[int, list[Attempt]] = {}

    def tell(self, attempt: Attempt, reason: str, offset: int) -> None:
        """Interrupt one that was submitted; its outcome comes as any other's."""
        attempt.cancelled = reason
        self._told.setdefault(offset, []).append(attempt)
        self._hand.cancel(attempt, reason)

    def kept(self) -> list[int]:
        """The offsets of commands of which a job is not settled, nor will be in this turn."""
        get = self._hand.get
        for offset, told in list(self._told.items()):
            left = [attempt for attempt in told if get(attempt.state_key) is attempt]
            if left:
                self._told[offset] = left
            else:
                del self._told[offset]
        return list(self._told)
