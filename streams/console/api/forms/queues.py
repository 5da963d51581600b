"""The forms of queues and their health, and of what is told to them and to schedules."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field


class Pause(BaseModel):
    since: str | None
    reason: str | None = None


class Queue(BaseModel):
    """A queue: `waiting` may run, `delayed` waits for a time, `failed` are its dead letters."""

    name: str
    waiting: int
    delayed: int
    active: int
    completed: int
    failed: int
    states: Mapping[str, int]
    oldestWaiting: str | None
    paused: Pause | None


class Queues(BaseModel):
    data: list[Queue]


class WatchedQueue(Queue):
    failedLately: int = Field(description="Jobs that gave up within the last hour.")


class Projection(BaseModel):
    connected: bool
    lag: int
    built: bool


class Health(BaseModel):
    data: list[WatchedQueue]
    healthy: bool
    projection: Projection


class Told(BaseModel):
    """The broker has what workers are told of a queue."""

    queue: str
    job: str | None
    asked: str


class Halted(BaseModel):
    schedule: str
    asked: str


class Called(BaseModel):
    jobId: str


class Ran(Called):
    status: str
