"""For how long a worker may write: from the sending of its last heartbeat that was answered."""

from __future__ import annotations

from typing import Final

from streams.testing.coordinator import SESSION_MS
from streams.testing.memory import MemoryClock

HEARTBEAT_MS: Final = 2_500
LEASE_MS: Final = SESSION_MS - 4_000


class Lease:
    """Heartbeats are not simulated one by one: while they are sent, they are answered."""

    def __init__(self, clock: MemoryClock) -> None:
        self._clock = clock  # monotonic: no step of a wall clock changes it
        self._sent = clock.now()
        self._beating = False
        self._valid = False

    def begin(self, sent: int, *, beating: bool = True) -> None:
        """What was sent at this time was answered well; `beating`: and heartbeats go on."""
        self._sent = sent
        self._beating = beating
        self._valid = True

    def pause(self) -> int:
        """No heartbeat is sent from here on; returns when the last one was."""
        self._sent = self.last_sent
        self._beating = False
        return self._sent

    def refused(self) -> None:
        """A heartbeat that was just sent proved nothing, and no other is sent."""
        now = self._clock.now()
        if self._beating:
            self._sent += (now - 1 - self._sent) // HEARTBEAT_MS * HEARTBEAT_MS
        self._beating = False

    def end(self) -> None:
        """It is known to be over."""
        self._beating = self._valid = False

    @property
    def last_sent(self) -> int:
        """When the last heartbeat that was answered was sent."""
        if not self._beating:
            return self._sent
        return self._sent + (self._clock.now() - self._sent) // HEARTBEAT_MS * HEARTBEAT_MS

    @property
    def next_heartbeat(self) -> int:
        """When the next heartbeat will be sent."""
        return self.last_sent + HEARTBEAT_MS

    @property
    def until(self) -> int:
        """When it ends if no other heartbeat is answered."""
        return self.last_sent + LEASE_MS

    @property
    def remaining(self) -> float:
        """For how long it is held if no other heartbeat is answered, in seconds."""
        return max(0, self.until - self._clock.now()) / 1000 if self._valid else 0.0

    @property
    def is_held(self) -> bool:
        """Whether writing is allowed."""
        return self._valid and self._clock.now() < self.until
