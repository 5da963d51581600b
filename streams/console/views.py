"""Jobs and queues as answers show them: JSON with times in RFC 3339."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from pydantic_core import from_json

from streams.projection.asked import Asked
from streams.projection.hashes import bare
from streams.projection.job import Job
from streams.projection.numbers import Count
from streams.projection.states import GROUPS, NAMES
from streams.sensitive import MASK
from streams.wire.times import show_time


def time(ms: int) -> str | None:
    """A time as answers have it; None if it is none that a calendar has."""
    try:
        return show_time(ms)
    except (OverflowError, ValueError):
        return None


def parsed(raw: bytes) -> Any:
    """A payload as JSON values; masked whole if it is no JSON, as nobody knows what is in it."""
    try:
        return _finite(from_json(raw))
    except ValueError:
        return MASK


def _finite(value: Any) -> Any:
    """A value without the numbers that JSON does not have, which some write nevertheless."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return value


def job(job: Job) -> dict[str, Any]:
    """One job of a listing."""
    row = job.row
    shown: dict[str, Any] = {
        "id": row.id,
        "name": job.name,
        "queue": job.queue,
        "key": row.key,
        "state": NAMES[row.state],
        "since": time(row.at),
        "enqueuedAt": time(row.time),
        "attempts": row.attempts,
        "generation": row.generation,
    }
    if row.due is not None:
        shown["due"] = time(row.due)
    if row.error is not None:
        shown["error"] = job.error
    if row.message is not None:
        shown["message"] = row.message
    if row.done is not None:
        shown["progress"] = progress(row.done, row.total)
    if row.parent is not None:
        shown["parent"] = row.parent
    if job.asked:
        shown["asked"] = [asked(each) for each in job.asked]
    return shown


def asked(asked: Asked) -> dict[str, Any]:
    """What its worker has not obeyed yet."""
    shown = {"what": asked.what, "at": time(asked.at)}
    return shown if asked.due is None else {**shown, "due": time(asked.due)}


def progress(done: float, total: float | None) -> dict[str, Any]:
    """How far a job says it is."""
    percentage = None if not total else round(100 * done / total, 1)
    return {"processed": done, "total": total, "percentage": percentage}


def queue(
    name: str,
    counts: Iterable[Count],
    *,
    oldest: Mapping[str, int],
    running: int,
    pause: Any,
) -> dict[str, Any]:
    """One queue with its numbers, by group and by state."""
    states: dict[str, int] = {}
    for count in counts:
        if count.queue == name:
            states[count.state] = states.get(count.state, 0) + count.number
    shown: dict[str, Any] = {"name": name}
    for group in ("waiting", "delayed"):
        shown[group] = sum(states.get(state, 0) for state in GROUPS[group])
    shown["active"] = max(running, states.get("running", 0))
    shown["completed"] = states.get("completed", 0)
    shown["failed"] = states.get("dead", 0)
    shown["states"] = states
    shown["oldestWaiting"] = show_time(oldest[name]) if name in oldest else None
    shown["paused"] = None if pause is None else {"since": show_time(pause.since)}
    if pause is not None and pause.reason:
        shown["paused"]["reason"] = pause.reason
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One job as pages list it; times in milliseconds since the epoch."""

    id: str
    name: str
    queue: str
    key: str | None  # without its scope
    whole_key: str | None
    state: str
    at: int
    due: int | None
    attempts: int
    generation: int
    error: str | None
    message: str | None
    done: int | None
    total: int | None
    asked: Sequence[str]  # what its worker has not obeyed yet


def row(job: Job) -> Shown:
    """One job for a page."""
    row = job.row
    return Shown(
        id=row.id,
        name=job.name,
        queue=job.queue,
        key=None if row.key is None else bare(row.key),
        whole_key=row.key,
        state=NAMES[row.state],
        at=row.at,
        due=row.due,
        attempts=row.attempts,
        generation=row.generation,
        error=job.error,
        message=row.message,
        done=row.done,
        total=row.total,
        asked=tuple(each.what for each in job.asked),
    )
