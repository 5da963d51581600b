"""Whether a worker is well, decided from what its queues read right now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """One queue on this worker, over its assigned partitions; None where it is not known yet."""

    queue: str
    lag: int | None  # records on the topic that are not settled or taken over
    oldest_waiting_ms: int | None  # for how long the oldest job waits that could run; 0: none does
    in_hand: int  # jobs admitted and not settled
    dead: int = 0  # jobs that gave up, and whose letters nobody has resolved
    active: int = 0  # attempts that run
    held: int = 0  # jobs that a limit, a rate, a breaker or a pause holds back
    open: Mapping[str, int] = field(default_factory=dict)  # jobs in the open table, by state
    partitions: int = 0
    commit_age_ms: int = 0  # of the partition whose commit stands still for longest; 0: none does
    is_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsReading:
    """The slots of one kind."""

    kind: str
    slots: int
    busy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReading:
    """The worker itself, whatever its queues."""

    worker: str = ""
    group: str = ""
    abandoned_threads: int = 0  # that go on though their attempts are over
    slots: tuple[SlotsReading, ...] = ()
    next_ticks: Mapping[str, int] = field(default_factory=dict)  # by schedule, in ms
    problems: tuple[str, ...] = ()  # what keeps handlers from running, and what to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Beyond what a worker counts as unhealthy, for each queue; None: never for this reason."""

    waiting: int | None = 100  # records on the topic that are not settled or taken over
    failed: int | None = 50  # dead jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The verdict, and what it was taken from."""

    ready: bool
    healthy: bool
    data: tuple[QueueReading, ...]
    problems: tuple[str, ...] = ()  # what keeps handlers from running

    def body(self) -> dict[str, Any]:
        """The answer of `/health`; durations in seconds."""
        told = {"problems": list(self.problems)} if self.problems else {}
        return {
            "data": [
                {
                    "name": reading.queue,
                    "waiting": reading.lag,
                    "failed": reading.dead,
                    "oldest_waiting_seconds": None
                    if reading.oldest_waiting_ms is None
                    else reading.oldest_waiting_ms / 1000,
                    "in_hand": reading.in_hand,
                }
                for reading in self.data
            ],
            "healthy": self.healthy,
            **told,
        }


def health(
    readings: Iterable[QueueReading],
    thresholds: Thresholds,
    *,
    ready: bool,
    problems: tuple[str, ...] = (),
) -> Health:
    """Healthy when ready, without problems, and no queue is over a threshold.

    What is not known is not over.
    """
    data = tuple(readings)
    is_over = any(
        _is_over(reading.lag, thresholds.waiting) or _is_over(reading.dead, thresholds.failed)
        for reading in data
    )
    is_healthy = ready and not is_over and not problems
    return Health(ready=ready, healthy=is_healthy, data=data, problems=problems)


def _is_over(count: int | None, threshold: int | None) -> bool:
    return count is not None and threshold is not None and count > threshold
