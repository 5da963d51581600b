"""Background jobs on Kafka: in order for their key, with retries that wait and a ledger."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.contracts import Event, JobPayload
    from streams.cron.schedule import Cron, Every
    from streams.cron.tick import Tick
    from streams.errors import Discard, ItemsFailed, PermanentError, RetryAfter, Snooze
    from streams.jobs.after_dead import AfterDead, DeadJob
    from streams.jobs.batches import BatchCounts
    from streams.jobs.batching import Batch, BatchContext
    from streams.jobs.breaker import Breaker
    from streams.jobs.context import JobContext, SyncJobContext
    from streams.jobs.decorator import job
    from streams.jobs.lifecycle import LifecycleEvent
    from streams.jobs.listening import on
    from streams.jobs.middleware import Middleware
    from streams.jobs.notes import Progress
    from streams.jobs.rate import RateLimit
    from streams.jobs.resource import Resource
    from streams.jobs.retry import Custom, Exponential, Fixed, Retry
    from streams.jobs.single import Debounce, Unique

__all__ = [
    # contracts
    "Event",
    "JobPayload",
    # handlers
    "job",
    "JobContext",
    "SyncJobContext",
    "Batch",
    "BatchContext",
    "BatchCounts",
    "Progress",
    "Resource",
    "Middleware",
    "on",
    "LifecycleEvent",
    # schedules
    "Cron",
    "Every",
    "Tick",
    # limits
    "RateLimit",
    "Breaker",
    "Debounce",
    "Unique",
    # retries
    "Retry",
    "Exponential",
    "Fixed",
    "Custom",
    # dead jobs
    "AfterDead",
    "DeadJob",
    # what a handler may raise
    "PermanentError",
    "RetryAfter",
    "Snooze",
    "Discard",
    "ItemsFailed",
]

_HOME = {
    "Event": "streams.contracts",
    "JobPayload": "streams.contracts",
    "job": "streams.jobs.decorator",
    "Cron": "streams.cron.schedule",
    "Every": "streams.cron.schedule",
    "Tick": "streams.cron.tick",
    "AfterDead": "streams.jobs.after_dead",
    "DeadJob": "streams.jobs.after_dead",
    "JobContext": "streams.jobs.context",
    "SyncJobContext": "streams.jobs.context",
    "Batch": "streams.jobs.batching",
    "BatchContext": "streams.jobs.batching",
    "BatchCounts": "streams.jobs.batches",
    "Progress": "streams.jobs.notes",
    "on": "streams.jobs.listening",
    "LifecycleEvent": "streams.jobs.lifecycle",
    "Middleware": "streams.jobs.middleware",
    "Breaker": "streams.jobs.breaker",
    "RateLimit": "streams.jobs.rate",
    "Debounce": "streams.jobs.single",
    "Unique": "streams.jobs.single",
    "Resource": "streams.jobs.resource",
    "Retry": "streams.jobs.retry",
    "Exponential": "streams.jobs.retry",
    "Fixed": "streams.jobs.retry",
    "Custom": "streams.jobs.retry",
    "PermanentError": "streams.errors",
    "RetryAfter": "streams.errors",
    "Snooze": "streams.errors",
    "Discard": "streams.errors",
    "ItemsFailed": "streams.errors",
}

_NOT_YET = frozenset({"Step", "workflow"})


def __getattr__(name: str) -> Any:
    # Lazily: a service that only sends should not pay for what only a worker needs.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _NOT_YET:
        # `from streams import ...` would not show the message of an AttributeError.
        raise ImportError(f"streams.{name} is not available yet", name=__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
