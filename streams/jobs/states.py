"""The states of a job."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is. Dead is not over: its letter can be replayed or discarded."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    PARKED = "parked"
    SLEEPING = "sleeping"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"


OVER = frozenset({State.COMPLETED, State.DISCARDED, State.CANCELLED, State.EXPIRED})
