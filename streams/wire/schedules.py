"""Schedules as the control topic has them: how far each is, which were added or paused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import orjson

from streams.cron.options import INTERVAL_MIN_MS
from streams.cron.pattern import parse
from streams.cron.schedule import Cron, Every, Schedule
from streams.cron.zone import zone
from streams.errors import UndecodableRecord
from streams.values import immutable

TICKED: Final = b"cron:"
ADDED: Final = b"cron-added:"
PAUSED: Final = b"cron-pause:"

_KEPT: Final = 20_000  # values that were read


@immutable(frozen=True, slots=True, kw_only=True)
class Ticked:
    """How far a schedule is; times in milliseconds since the epoch."""

    last: int  # the latest tick that was decided; of a new schedule when it was first seen
    shape: str  # of the schedule then: another one begins anew
    queue: str
    fired: int = 0  # ticks that were enqueued
    missed: int = 0  # ticks whose time passed while nobody was there to start them
    skipped: int = 0  # those of them that were not run, nor stood for
    gone: int | None = None  # since when no worker knows it any more
    is_added: bool = False  # at run time: without that record it was removed
    resumed: int = 0  # the last time that it was told to go on, and did

    def since(self, before: Ticked | None) -> Ticked:
        """The same with what was counted since then alone."""
        if before is None:
            return self
        return replace(
            self,
            fired=self.fired - before.fired,
            missed=self.missed - before.missed,
            skipped=self.skipped - before.skipped,
        )


@immutable(frozen=True, slots=True, kw_only=True)
class Added:
    """A schedule that was added at run time, and the job that it enqueues."""

    schedule: Schedule
    job: str
    queue: str
    key: str | None  # with its scope
    payload: bytes | None  # JSON; None: the job takes a tick


@immutable(frozen=True, slots=True, kw_only=True)
class Halt:
    """A schedule that was paused at a time (ms since the epoch), or went on then."""

    at: int
    is_paused: bool
    reason: str = ""


@lru_cache(maxsize=_KEPT)
def shape_of(schedule: Schedule) -> str:
    """The same for schedules that have the same ticks."""
    told = _plain(schedule)
    for option in ("jitter", "missed", "overlap", "most"):
        told.pop(option, None)
    return blake2b(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def encode_ticked(name: str, ticked: Ticked) -> tuple[bytes, bytes]:
    """Key and value of a record."""
    told = {
        "last": ticked.last,
        "shape": ticked.shape,
        "queue": ticked.queue,
        "fired": ticked.fired,
        "missed": ticked.missed,
        "skipped": ticked.skipped,
        **({} if ticked.gone is None else {"gone": ticked.gone}),
        **({"added": True} if ticked.is_added else {}),
        **({"resumed": ticked.resumed} if ticked.resumed else {}),
    }
    return TICKED + name.encode(), orjson.dumps(told)


@lru_cache(maxsize=_KEPT)  # all of them are read whenever one changes
def decode_ticked(value: bytes) -> Ticked:
    """What `encode_ticked` wrote.

    Raises:
        UndecodableRecord: these bytes are something else.
    """
    try:
        told = orjson.loads(value)
        gone = told.get("gone")
        return Ticked(
            last=int(told["last"]),
            shape=str(told["shape"]),
            queue=str(told["queue"]),
            fired=int(told["fired"]),
            missed=int(told["missed"]),
            skipped=int(told["skipped"]),
            gone=None if gone is None else int(gone),
            is_added=bool(told.get("added", False)),
            resumed=int(told.get("resumed", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"it does not say how far a schedule is: {error}") from error


def encode_added(name: str, added: Added | None) -> tuple[bytes, bytes | None]:
    """Key and value of a record; None removes it."""
    if added is None:
        return ADDED + name.encode(), None
    told = {
        "schedule": _plain(added.schedule),
        "job": added.job,
        "queue": added.queue,
        "key": added.key,
        "payload": None if added.payload is None else orjson.Fragment(added.payload),
    }
    return ADDED + name.encode(), orjson.dumps(told)


@lru_cache(maxsize=_KEPT)  # all of them are read whenever one changes
def decode_added(value: bytes) -> Added:
    """What `encode_added` wrote.

    Raises:
        UndecodableRecord: these bytes are something else.
    """
    try:
        told = orjson.loads(value)
        payload = told["payload"]
        return Added(
            schedule=_read(told["schedule"]),
            job=str(told["job"]),
            queue=str(told["queue"]),
            key=told["key"],
            payload=None if payload is None else orjson.dumps(payload),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"it is no schedule: {error}") from error


def encode_halt(name: str, halt: Halt) -> tuple[bytes, bytes]:
    """Key and value of a record."""
    told = {"at": halt.at, "paused": halt.is_paused, "reason": halt.reason}
    return PAUSED + name.encode(), orjson.dumps(told)


def decode_halt(value: bytes) -> Halt:
    """What `encode_halt` wrote.

    Raises:
        UndecodableRecord: these bytes are something else.
    """
    try:
        told = orjson.loads(value)
        return Halt(at=int(told["at"]), is_paused=bool(told["paused"]), reason=str(told["reason"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"it pauses no schedule: {error}") from error


def forgotten(name: str) -> list[tuple[bytes, None]]:
    """The records that remove a schedule, and all that is known of it."""
    # That it was added goes first: whoever has read only that knows that it is removed.
    return [(prefix + name.encode(), None) for prefix in (ADDED, TICKED, PAUSED)]


_OPTIONS: Final = ("missed", "overlap", "most")


def _plain(schedule: Schedule) -> dict[str, Any]:
    if isinstance(schedule, Every):
        told: dict[str, Any] = {"every": schedule.ms}
    else:
        told = {"cron": schedule.pattern, "tz": schedule.tz}
    told |= {option: getattr(schedule, option) for option in _OPTIONS}
    told["jitter"] = schedule.jitter_ms or None
    for option, moment in (("start", schedule.start), ("end", schedule.end)):
        told[option] = None if moment is None else moment.isoformat()
    return {option: value for option, value in told.items() if value is not None}


def _read(told: dict[str, Any]) -> Schedule:
    """A schedule that can be reckoned with: what can't would end each worker that has it.

    Raises:
        ValueError, KeyError, TypeError: there is none.
    """
    options: dict[str, Any] = {
        "missed": str(told["missed"]),
        "overlap": str(told["overlap"]),
        "most": int(told["most"]),
    }
    if "jitter" in told:
        options["jitter"] = f"{int(told['jitter'])}ms"
    for option in ("start", "end"):
        if option in told:
            options[option] = datetime.fromisoformat(told[option])
    if "every" in told:
        interval = Every(f"{int(told['every'])}ms", **options)
        if interval.ms < INTERVAL_MIN_MS:
            raise ValueError(f"an interval of {interval.ms} ms is too short")
        return interval
    schedule = Cron(str(told["cron"]), tz=str(told["tz"]), **options)
    parse(schedule.pattern)
    zone(schedule.tz)  # whoever added it may know more of them
    return schedule
