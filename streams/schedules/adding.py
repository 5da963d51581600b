"""From what somebody writes at run time to a schedule that fits the handlers. Pure."""

from __future__ import annotations

from typing import Any

from streams.client_request import read_json
from streams.client_schedule import added_schedule, check_schedule, check_schedule_name
from streams.contracts import JobPayload
from streams.cron.schedule import Cron, Every, Schedule
from streams.cron.spelling import in_a_shell
from streams.cron.tick import Tick
from streams.errors import ScheduleInvalid
from streams.jobs.definition import JobDefinition
from streams.jobs.meant import no_job
from streams.jobs.registry import Registry
from streams.wire.schedules import Added
from streams.wire.topics import MAX_PAYLOAD_BYTES


def new_schedule(
    pattern: str | None, every: str | None, now: int, *, tz: str | None = None, **options: Any
) -> Schedule:
    """A schedule of a pattern or of an interval; options that are None were not given.

    What runs of it may run beside each other, as far as their job allows that.

    Raises:
        ScheduleInvalid: it makes no sense, or would not run after `now` (ms since the epoch); for
            a pattern the message shows where. It names options as `streams cron add` has them.
    """
    given = {name: value for name, value in options.items() if value is not None}
    schedule: Schedule
    if every is not None:
        if tz is not None:
            raise ScheduleInvalid(
                f"{in_a_shell('tz', tz)} goes with a pattern: an interval has no zone"
            )
        schedule = Every(every, overlap="allow", **given)
    else:
        schedule = Cron(pattern or "", tz=tz or "UTC", overlap="allow", **given)
    check_schedule(schedule, now, in_a_shell)
    return schedule


def check_name(registry: Registry, name: str) -> None:
    """Nothing, if a schedule that is added may have this name.

    Raises:
        ScheduleInvalid: it may not.
    """
    check_schedule_name(name)
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
    if not issubclass(contract, Tick):
        model = read_json(contract, "{}" if payload is None else payload)
        return added_schedule(schedule, model, MAX_PAYLOAD_BYTES)
    if payload is not None:
        raise ScheduleInvalid(f"{job} takes a Tick, which each run makes: give no payload")
    # As its ticks have it.
    key = None if contract.__key__ is None else f"{definition.key_scope}:{name}"
    return Added(schedule=schedule, job=job, queue=definition.queue, key=key, payload=None)


def _taken_by(registry: Registry, job: str) -> JobDefinition:
    definition = registry.by_name(job)
    if definition is not None and definition.trigger == "payload":
        return definition
    raise ScheduleInvalid(no_job(registry, job))
