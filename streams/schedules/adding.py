"""From what somebody writes at run time to a schedule that fits the handlers. Pure."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

from streams.client_request import bounded, checked, read_json
from streams.contracts import JobPayload
from streams.cron.options import schedule_mistakes
from streams.cron.schedule import Cron, Every, Schedule
from streams.cron.tick import Tick
from streams.cron.ticks import next_tick
from streams.errors import PayloadInvalid, ScheduleInvalid
from streams.jobs.definition import JobDefinition
from streams.jobs.registry import Registry
from streams.wire.schedules import Added, decode_added, encode_added
from streams.wire.topics import MAX_PAYLOAD_BYTES

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")


def new_schedule(
    pattern: str | None, every: str | None, now: int, *, tz: str | None = None, **options: Any
) -> Schedule:
    """A schedule of a pattern or of an interval; options that are None were not given.

    What runs of it may run beside each other, as far as their job allows that.

    Raises:
        ScheduleInvalid: it makes no sense, or would not run after `now` (ms since the epoch); for
            a pattern the message shows where.
    """
    given = {name: value for name, value in options.items() if value is not None}
    schedule: Schedule
    if every is not None:
        if tz is not None:
            raise ScheduleInvalid(
                "a time zone goes with a pattern: an interval counts from its start"
            )
        schedule = Every(every, overlap="allow", **given)
    else:
        schedule = Cron(pattern or "", tz=tz or "UTC", overlap="allow", **given)
    mistakes = schedule_mistakes(schedule)
    if mistakes:
        raise ScheduleInvalid("\n".join(each.removeprefix("cron: ") for each in mistakes))
    if next_tick(schedule, now) is None:
        raise ScheduleInvalid("nothing of it is to come, so that it would never run: see its end")
    return schedule


def read_moment(option: str, text: str | None) -> datetime | None:
    """A time with its zone.

    Raises:
        ScheduleInvalid: it is none.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ScheduleInvalid(
            f"{option} {text}: write it as 2026-12-24T18:00+01:00, or ...T17:00Z"
        ) from None
    if moment.utcoffset() is None:
        raise ScheduleInvalid(f"{option} {text} has no time zone: write {text}+01:00, or ...Z")
    return moment


def check_name(registry: Registry, name: str) -> None:
    """Nothing, if a schedule that is added may have this name.

    Raises:
        ScheduleInvalid: it may not.
    """
    if not _NAME.fullmatch(name):
        raise ScheduleInvalid(
            f"{name!r} is no name of a schedule: use up to 200 letters, digits, dots, hyphens and "
            "underscores"
        )
    definition = registry.by_name(name)
    if definition is not None and definition.cron is not None:
        raise ScheduleInvalid(
            f"the schedule {name} is in the code, at {definition.place}: choose another name, or "
            "change it there"
        )


def added_for(
    registry: Registry, name: str, schedule: Schedule, job: str, payload: str | None
) -> Added:
    """The schedule of this name with the job that it enqueues; `payload` is JSON, if any.

    Raises:
        ScheduleInvalid: no handler takes such a job, or it takes a tick and a payload was given.
        PayloadInvalid: it does not fit its contract.
        PayloadTooLarge: it is over the limit.
    """
    definition = _taken_by(registry, job)
    contract = definition.payload_type
    assert issubclass(contract, JobPayload)
    if issubclass(contract, Tick):
        if payload is not None:
            raise ScheduleInvalid(f"{job} takes a Tick, which each run makes: give no payload")
        key = None if contract.__key__ is None else name  # as its ticks have it
        data = None
    else:
        model, data = checked(read_json(contract, "{}" if payload is None else payload))
        bounded(data, MAX_PAYLOAD_BYTES, job)
        key = model.ordering_key()
    added = Added(
        schedule=schedule,
        job=job,
        queue=definition.queue,
        key=None if key is None else f"{definition.key_scope}:{key}",
        payload=data,
    )
    if data is not None:
        _, kept = encode_added(name, added)
        if json.loads(decode_added(kept or b"").payload or b"null") != json.loads(data):
            raise PayloadInvalid(
                f"{contract.__name__}: a number of more than 19 digits can't be kept: write it as "
                "text",
                field="",
            )
    return added


def _taken_by(registry: Registry, job: str) -> JobDefinition:
    definition = registry.by_name(job)
    if definition is not None and definition.trigger == "payload":
        return definition
    names = sorted(each.name for each in registry.definitions() if each.trigger == "payload")
    raise ScheduleInvalid(
        f"no handler takes jobs named {job!r}; names are: {', '.join(names) or 'none'}"
        + ("" if definition is None else f" ({job} is started by events)")
    )
