"""The forms of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field

_ID: Final = "0193f5a2-7c1e-7a30-9f52-3f1d2b8c4e77"
_TIME: Final = "2026-11-30T18:00:00.000Z"


class Progress(BaseModel):
    processed: float
    total: float | None
    percentage: float | None


class AskedOfIt(BaseModel):
    what: str = Field(examples=["cancel"])
    at: str | None = Field(examples=[_TIME])
    due: str | None = Field(None, description="When it is to start, if that was asked.")


class Job(BaseModel):
    """A job of a listing."""

    id: str = Field(examples=[_ID])
    name: str = Field(examples=["reports.send"])
    queue: str = Field(examples=["bulk"])
    key: str | None = Field(description="The ordering key with its scope.")
    state: str = Field(examples=["completed"])
    since: str | None = Field(examples=[_TIME], description="Since when it is so.")
    enqueuedAt: str | None = Field(examples=[_TIME])
    attempts: int
    generation: int = Field(description="How often it was replayed.")
    due: str | None = None
    error: str | None = Field(None, description="The type of its last error.")
    message: str | None = None
    progress: Progress | None = None
    parent: str | None = None
    asked: list[AskedOfIt] | None = Field(
        None, description="What was asked of it and its worker has not obeyed yet."
    )


class Attempt(BaseModel):
    attempt: int
    started: str | None
    ended: str | None
    took: int = Field(description="Milliseconds.")
    worker: str
    outcome: str
    error: str | None


class LogLine(BaseModel):
    at: str | None
    attempt: int
    level: str
    text: str


class Failure(BaseModel):
    type: str
    message: str
    trace: str


class Stored(BaseModel):
    size: int


class WholeJob(Job):
    """One job; `result` only if it completed, `failedReason` only if it came to nothing."""

    partition: int
    run: int
    payload: Any = Field(None, description="Without what is sensitive.")
    payloadSize: int | None = None
    payloadIsMasked: str | None = Field(
        None, description="By its contract, or, where that is not known here, by names."
    )
    source: str | None = None
    metadata: Mapping[str, Any] | None = None
    history: list[Attempt]
    log: list[LogLine]
    reason: str | None = None
    result: Any = None
    resultStored: Stored | None = Field(None, description="Of a result too large to be shown.")
    failedReason: str | None = None
    failure: Failure | None = None
    children: list[Job]
    hasMoreChildren: bool


class OneJob(BaseModel):
    data: WholeJob


class Jobs(BaseModel):
    """A page; `partial`: it took too long to fill it, so go on with the cursor."""

    data: list[Job]
    cursor: str | None
    partial: bool


class Accepted(BaseModel):
    """The broker has the job."""

    jobId: str = Field(examples=[_ID])
    status: str = Field(examples=["queued"])


class AcceptedOne(Accepted):
    location: str


class AcceptedJobs(BaseModel):
    data: list[AcceptedOne]


class Asked(BaseModel):
    """The broker has what the job's worker is asked for."""

    jobId: str
    asked: str
    due: str | None = None


class Blocker(BaseModel):
    id: str
    name: str
    state: str
    attempts: int
    error: str | None


class Waits(BaseModel):
    id: str
    name: str
    queue: str
    key: str | None
    state: str
    why: str = Field(examples=["paused"])
    answer: str = Field(examples=["queue bulk is paused since 2026-11-30 18:00:00+00:00"])
    remedy: str | None
    due: str | None
    before: int | None
    blocker: Blocker | None
    worker: str | None


class Why(BaseModel):
    data: Waits
