"""What happens to jobs, as values that metrics, logs and applications listen to."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from streams.jobs.notes import Progress
from streams.values import immutable


class Happening(StrEnum):
    """What can happen to a job."""

    STARTED = "started"
    COMPLETED = "completed"
    RETRYING = "retrying"
    SCHEDULED = "scheduled"
    PARKED = "parked"
    SLEEPING = "sleeping"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"
    REPLAYED = "replayed"
    DUPLICATE = "duplicate"
    PROGRESS = "progress"
    CHECKPOINTED = "checkpointed"
    UNDECODABLE = "undecodable"
    ABANDONED = "abandoned"  # its attempt is over, and its thread goes on


@immutable(frozen=True, slots=True, kw_only=True)
class LifecycleEvent:
    """One thing that happened to one job.

    Told once it is durable; `started` and `progress` before.
    """

    happening: Happening
    at: int  # milliseconds since the epoch
    queue: str
    name: str
    id: str
    key: str | None = None
    attempt: int = 0
    waited_ms: int | None = None  # from its time (or its due time) to this start
    ran_ms: int | None = None
    due: int | None = None
    error_type: str | None = None
    error: str | None = None
    trace: str | None = None  # of the error, without local variables; bounded
    traceparent: str | None = None
    progress: Progress | None = None  # of `progress` alone


Listener = Callable[[LifecycleEvent], None]
