"""Whether a worker is well, decided from what its queues read right now. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """One queue on this worker, over its assigned partitions; None where it is not known yet."""

    queue: str
    lag: int | None  # records on the topic that are not settled or taken over
    oldest_waiting_ms: int | None  # for how long the oldest job waits that could run; 0: none does
    in_hand: int  # jobs admitted and not settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From where on a worker counts as unhealthy; None: never for this reason."""

    lag: int | None = None  # records, for each queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The verdict, and what it was taken from."""

    ready: bool
    healthy: bool
    data: tuple[QueueReading, ...]

    def body(self) -> dict[str, Any]:
        """The answer of `/health`; durations in seconds."""
        return {
            "data": [
                {
                    "name": reading.queue,
                    "lag": reading.lag,
                    "oldest_waiting_seconds": None
                    if reading.oldest_waiting_ms is None
                    else reading.oldest_waiting_ms / 1000,
                    "in_hand": reading.in_hand,
                }
                for reading in self.data
            ],
            "healthy": self.healthy,
        }


def health(readings: Iterable[QueueReading], thresholds: Thresholds, *, ready: bool) -> Health:
    """Healthy when ready and no queue's lag is over its threshold; an unknown lag is not over."""
    data = tuple(readings)
    behind = thresholds.lag is not None and any(
        reading.lag is not None and reading.lag > thresholds.lag for reading in data
    )
    return Health(ready=ready, healthy=ready and not behind, data=data)
