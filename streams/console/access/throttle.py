"""How often somebody may guess: so many failures within a minute, from one network."""

from __future__ import annotations

from collections import deque
from typing import Final

from streams.console.access.address import network_of

WINDOW_S: Final = 60
_OF_ONE: Final = 5
_NETWORKS: Final = 10_000  # that are remembered: the latest


class Throttle:
    """Counts failures; times in seconds, of any clock.

    What comes from many networks together is not counted: tokens are too long to be guessed, and a
    limit for all of them would let anybody lock out those who have one.
    """

    def __init__(self) -> None:
        self._failures: dict[str, deque[float]] = {}  # by network, the latest at the end

    def wait_s(self, address: str, now: float) -> int:
        """For how long this address may not try; 0: it may now."""
        own = self._failures.get(network_of(address), ())
        recent = [at for at in own if at > now - WINDOW_S]
        return max(1, int(recent[0] + WINDOW_S - now) + 1) if len(recent) >= _OF_ONE else 0

    def failed(self, address: str, now: float) -> None:
        """It was wrong."""
        network = network_of(address)
        own = self._failures.pop(network, None) or deque(maxlen=_OF_ONE)
        own.append(now)
        self._failures[network] = own
        while len(self._failures) > _NETWORKS:
            del self._failures[next(iter(self._failures))]
