"""How far a queue must be read until all that was sent before some time is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class QueueEnd:
    """Where the queue of one partition ended, and when that was asked; in ms since the epoch."""

    at: int = -1
    offset: int = 0

    def note(self, at: int, offset: int) -> None:
        """It ended there then."""
        self.at, self.offset = at, offset

    def is_known(self, sent_by: int) -> bool:
        """Whether that was asked after all of this was sent."""
        return sent_by <= self.at

    def is_read(self, position: int) -> bool:
        """Whether reading has got there."""
        return position >= self.offset
