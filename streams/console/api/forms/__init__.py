"""The forms of answers, as the OpenAPI document tells them; answers are made without these."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from streams.console.api.forms.actions import (
    AcceptedEvent,
    AcceptedEvents,
    Action,
    Actions,
    DeadLetters,
    Group,
    Groups,
    Letter,
    Letters,
    OneAction,
    OneSchedule,
    Origin,
    Running,
    Schedule,
    Schedules,
    Worker,
    Workers,
)
from streams.console.api.forms.jobs import (
    Accepted,
    AcceptedJobs,
    AcceptedOne,
    Asked,
    Attempt,
    Blocker,
    Failure,
    Job,
    Jobs,
    LogLine,
    OneJob,
    Progress,
    Stored,
    Waits,
    WholeJob,
    Why,
)
from streams.console.api.forms.problems import LOCATION, Problem, errors
from streams.console.api.forms.queues import (
    Called,
    Halted,
    Health,
    Pause,
    Projection,
    Queue,
    Queues,
    Ran,
    Told,
    WatchedQueue,
)


def ok(
    model: type[BaseModel], *statuses: int, status: int | None = None
) -> dict[int | str, dict[str, Any]]:
    """A success of this form, and these problems."""
    success = status or (
        202 if model in (Accepted, AcceptedJobs, Asked, Told, Halted, Ran) else 200
    )
    return {success: {"model": model}, **errors(*statuses)}


__all__ = [
    "Accepted",
    "AcceptedEvent",
    "AcceptedEvents",
    "AcceptedJobs",
    "AcceptedOne",
    "Action",
    "Actions",
    "Asked",
    "Attempt",
    "Blocker",
    "Called",
    "DeadLetters",
    "Failure",
    "Group",
    "Groups",
    "Halted",
    "Health",
    "Job",
    "Jobs",
    "LOCATION",
    "Letter",
    "Letters",
    "LogLine",
    "OneAction",
    "OneJob",
    "OneSchedule",
    "Origin",
    "Pause",
    "Problem",
    "Progress",
    "Projection",
    "Queue",
    "Queues",
    "Ran",
    "Running",
    "Schedule",
    "Schedules",
    "Stored",
    "Told",
    "Waits",
    "WatchedQueue",
    "WholeJob",
    "Why",
    "Worker",
    "Workers",
    "errors",
    "ok",
]
