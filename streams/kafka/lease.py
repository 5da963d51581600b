"""For how long this worker may write: from the sending of its last heartbeat that was answered.

A worker that was frozen or cut off does not know that its partitions went to others. The broker
lets that happen no sooner than a session timeout after a heartbeat reached it; so writing stops
some seconds before that, counted from when the heartbeat was *sent*.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest

MARGIN: Final = 4.0  # seconds before the session would end
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds; it goes on while the machine is suspended, where the system can tell."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Renewed by the consumer's thread, asked by whatever writes; `session` in seconds."""

    def __init__(self, session: float) -> None:
        self._length = max(session - MARGIN, session / 4)
        self._until = 0.0
        self.on_regained: Callable[[], None] = lambda: None  # called in the consumer's thread

    def renew(self, sent: float) -> None:
        """Something that was sent at this time showed that we are a member of our generation."""
        was_over = not self.is_held
        self._until = max(self._until, sent + self._length)
        if was_over and self.is_held:
            self.on_regained()

    @property
    def remaining(self) -> float:
        """Seconds; 0 when it is over."""
        return max(0.0, self._until - now())

    @property
    def is_held(self) -> bool:
        """Whether this worker may write."""
        return now() < self._until

    def watch(self, coordinator: Any) -> None:
        """Renew with each answer of this group coordinator (aiokafka's) that proves membership.

        `RebalanceInProgress` does not: who does not rejoin in time is expelled without a word.
        """
        send = coordinator._send_req

        async def send_and_renew(request: Any) -> Any:
            sent = now()
            response = await send(request)
            proves = isinstance(request, HeartbeatRequest | SyncGroupRequest)
            if proves and response.error_code == 0:
                self.renew(sent)
            return response

        coordinator._send_req = send_and_renew
