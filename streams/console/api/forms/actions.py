"""The forms of events, dead letters, actions, workers and schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, RootModel

from streams.console.api.forms.jobs import Jobs
from streams.console.api.forms.queues import Pause


class AcceptedEvent(BaseModel):
    id: str
    source: str
    type: str
    status: str


class AcceptedEvents(BaseModel):
    data: list[AcceptedEvent]


class Group(BaseModel):
    count: int
    error: str | None = None
    job: str | None = None
    queue: str | None = None
    first: str | None = None
    last: str | None = None
    message: str | None = None
    jobs: Mapping[str, int] | None = None


class Groups(BaseModel):
    data: list[Group]
    by: str


class Origin(BaseModel):
    topic: str
    partition: int
    offset: int


class Letter(BaseModel):
    letter: str
    job: str | None
    queue: str
    key: str | None
    generation: int
    attempts: int
    error: str
    message: str | None = None
    failedAt: str | None
    origin: Origin


class Letters(BaseModel):
    data: list[Letter]
    cursor: str | None
    partial: bool


class DeadLetters(RootModel[Jobs | Groups | Letters]):
    """A page of dead jobs; or, with `by`, counts; or what is `undecodable`."""


class Action(BaseModel):
    id: str
    by: str = Field(description="The name of a token, or whoever ran the command.")
    what: str = Field(examples=["dlq replay"])
    on: str = Field(examples=["--job charge"])
    reason: str
    began: str | None
    ended: str | None
    state: str = Field(examples=["running"])
    failed: str | None
    counts: Mapping[str, int]
    dryRun: bool | None = None
    sample: list[Letter] | None = None


class Actions(BaseModel):
    data: list[Action]


class OneAction(BaseModel):
    data: Action


class Running(BaseModel):
    id: str
    name: str
    queue: str
    key: str | None
    attempt: int
    since: str | None


class Worker(BaseModel):
    worker: str
    group: str
    version: str
    started: str | None
    seen: str | None
    partitions: Mapping[str, list[int]]
    inHand: int
    running: list[Running]


class Workers(BaseModel):
    data: list[Worker]


class Schedule(BaseModel):
    name: str
    origin: str
    queue: str
    state: str
    job: str | None
    payload: Any
    pattern: str | None
    every: str | None
    words: str | None
    next: list[str]
    last: str | None
    missed: int
    skipped: int
    paused: Pause | None


class Schedules(BaseModel):
    data: list[Schedule]


class OneSchedule(BaseModel):
    data: Schedule
