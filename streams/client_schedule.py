"""From what a caller asks to a schedule of run time: every check that needs no broker. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from streams.client_request import bounded, checked
from streams.cron.options import schedule_mistakes
from streams.cron.schedule import Cron, Every, Schedule
from streams.cron.spelling import Spell, in_code
from streams.cron.ticks import next_tick
from streams.errors import PayloadInvalid, ScheduleInvalid
from streams.values import immutable
from streams.wire.schedules import ADDED, Added, Ticked, decode_added, encode_added, forgotten

if TYPE_CHECKING:
    from streams.contracts import JobPayload

_NAME: Final = re.compile(r"[A-Za-z0-9.:_-]{1,200}")


@immutable(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """What the control topic says of one name."""

    is_added: bool = False  # at run time
    ticked: Ticked | None = None  # by workers

    @property
    def is_in_code(self) -> bool:
        """Whether a worker has it from its code, as far as can be told from elsewhere."""
        return self.ticked is not None and not self.ticked.is_added and self.ticked.gone is None


def check_schedule_name(name: str) -> None:
    """Nothing, if a schedule that is added may have this name.

    Raises:
        ScheduleInvalid: it may not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ScheduleInvalid(
            f"{name!r} is no name of a schedule: use up to 200 letters, digits, dots, colons, "
            "hyphens and underscores"
        )


def check_schedule(schedule: Schedule, now: int, spell: Spell = in_code) -> None:
    """Nothing, if it makes sense, and runs after `now` (ms since the epoch).

    `spell` writes an option as whoever reads this has written it.

    Raises:
        ScheduleInvalid: it does not; for a pattern the message shows where.
    """
    if not isinstance(schedule, Cron | Every):
        raise ScheduleInvalid(
            f'{schedule!r} is no schedule: write Cron("0 7 * * mon-fri") or Every("10m")'
        )
    mistakes = schedule_mistakes(schedule, spell)
    if mistakes:
        raise ScheduleInvalid("\n".join(mistakes))
    if next_tick(schedule, now) is None:
        end = "" if schedule.end is None else f": see {spell('end', schedule.end)}"
        raise ScheduleInvalid(f"nothing of it is to come, so that it would never run{end}")


def check_free(name: str, scheduled: Scheduled) -> None:
    """Nothing, if no worker has a schedule of this name from its code.

    Raises:
        ScheduleInvalid: one has; it would not look at one that is added.
    """
    if scheduled.is_in_code:
        raise ScheduleInvalid(
            f"the schedule {name} is in the code of a worker: choose another name, or take cron= "
            "out there; the name is free 15 minutes after the last worker that had it has gone"
        )


def run_time_schedule(schedule: Schedule, now: int) -> Schedule:
    """As it is kept: what runs of it may overlap, as far as its job allows that.

    Raises:
        ScheduleInvalid: it makes no sense, or says what only a schedule in the code can do.
    """
    check_schedule(schedule, now)
    if schedule.overlap in ("queue", "cancel_previous"):
        raise ScheduleInvalid(
            f'overlap="{schedule.overlap}" goes with a schedule in the code: what runs of one that '
            "is added may overlap, as far as the key, unique= and the limits of its job allow"
        )
    return replace(schedule, overlap="allow")


def added_schedule(schedule: Schedule, payload: JobPayload, limit: int) -> Added:
    """The schedule with the job that it enqueues, whose payload has `limit` bytes at most.

    Raises:
        ScheduleInvalid: the payload is a tick, which each run makes.
        PayloadInvalid: it does not fit its contract.
        PayloadTooLarge: it is over the limit.
    """
    from streams.cron.tick import Tick

    kind, job = type(payload).__name__, payload.__job_name__
    if isinstance(payload, Tick):
        raise ScheduleInvalid(
            f"{kind} is a Tick, which each run makes: give a payload that the job takes, or add it "
            "with `streams cron add`"
        )
    model, data = checked(payload)
    bounded(data, limit, job)
    key = model.ordering_key()
    added = Added(
        schedule=schedule,
        job=job,
        queue=payload.__queue__,
        key=None if key is None else f"{payload.__key_scope__ or job}:{key}",
        payload=data,
    )
    _, kept = encode_added("", added)
    if json.loads(decode_added(kept or b"").payload or b"null") != json.loads(data):
        raise PayloadInvalid(
            f"{kind}: a number of more than 19 digits can't be kept: write it as text", field=""
        )
    return added


def removed(name: str, scheduled: Scheduled) -> list[tuple[bytes, None]]:
    """The records that remove a schedule that was added."""
    if scheduled.is_in_code:  # how far that one is must stay
        return [(ADDED + name.encode(), None)]
    return forgotten(name)
