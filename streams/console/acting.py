"""What people do with jobs and queues: each is on record before it is done, and when it is.

Those who act are told apart by `who`: the name of a token, or of the operator of this machine.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from streams.client_handle import MAY_BE_TIMED
from streams.client_request import new_due, now_ms
from streams.console.console import Console
from streams.console.editing import edited
from streams.console.on_record import on_record
from streams.console.problems import Problem
from streams.console.story import is_over
from streams.jobs.meant import advice
from streams.projection.job import Job
from streams.projection.states import DEAD, NAMES
from streams.wire.commands import Command, encode_command
from streams.worker.control import pause_record

_MAY_BE_TIMED: Final = frozenset(state.value for state in MAY_BE_TIMED)


async def cancel(console: Console, job: Job, who: str, reason: str = "") -> None:
    """Ask the job's worker to end it; durable when this returns.

    Raises:
        Problem: it is over, or dead.
    """
    if is_over(job):
        hint = ": replay or discard it" if job.row.state == DEAD else ""
        raise Problem(409, f"job {job.id} is {NAMES[job.row.state]} already{hint}")
    command = Command(kind="cancel", job=job.key, reason=reason or f"cancelled by {who}")
    async with on_record(console, who, "jobs cancel", _named(job), reason):
        await ask(console, job, command)


async def reschedule(
    console: Console,
    job: Job,
    who: str,
    *,
    delay: str | None = None,
    run_at: datetime | None = None,
    reason: str = "",
) -> int:
    """Ask the job's worker to start it at another time (ms since the epoch), which it returns.

    Raises:
        PayloadInvalid: neither or both of the two, or no time that is.
        Problem: it does not wait.
    """
    due = new_due(delay=delay, run_at=run_at, now=now_ms())
    if NAMES[job.row.state] not in _MAY_BE_TIMED:
        raise Problem(409, f"job {job.id} is {NAMES[job.row.state]}: it does not wait")
    async with on_record(console, who, "jobs reschedule", _named(job), reason):
        await ask(console, job, Command(kind="reschedule", job=job.key, due=due))
    return due


async def replay(console: Console, job: Job, who: str, reason: str = "") -> None:
    """Ask the worker of a dead job to run it again.

    Raises:
        Problem: it is not dead.
    """
    await _resolve(console, job, who, "replay", reason)


async def replay_edited(console: Console, job: Job, who: str, text: str, reason: str = "") -> None:
    """Ask the worker of a dead job to run it again with another payload, as JSON.

    What still reads as masked stays what it was.

    Raises:
        PayloadInvalid: it does not fit, or would change the job's key; the job stays dead.
        PayloadTooLarge: it is over the limit.
        Problem: the job is not dead.
    """
    payload = await edited(console, job, text)
    await _resolve(console, job, who, "replay", reason, payload)


async def discard(console: Console, job: Job, who: str, reason: str) -> None:
    """End a dead job for good.

    Raises:
        Problem: it is not dead.
    """
    await _resolve(console, job, who, "discard", reason or f"discarded by {who}")


async def _resolve(
    console: Console,
    job: Job,
    who: str,
    verb: str,
    reason: str,
    payload: bytes | None = None,
) -> None:
    row = job.row
    if row.state != DEAD:
        raise Problem(409, f"job {job.id} is {NAMES[row.state]}: only a dead one can be {verb}ed")
    command = Command(
        kind=verb, job=job.key, generation=row.generation, reason=reason, payload=payload
    )
    async with on_record(console, who, f"dlq {verb}", _named(job), reason) as counts:
        await ask(console, job, command)
        counts["asked"] = 1


async def pause(console: Console, queue: str, who: str, *, job: str = "", reason: str = "") -> None:
    """Start nothing more of a queue, or of one job of it, until it is resumed.

    Raises:
        Problem: there is no such queue.
    """
    check_queue(console, queue)
    since = int(time.time() * 1000)
    async with on_record(console, who, "queues pause", _of(queue, job), reason):
        await _control(console, *pause_record(queue, since, reason or f"paused by {who}", job=job))


async def resume(
    console: Console, queue: str, who: str, *, job: str = "", reason: str = ""
) -> None:
    """Go on with a queue, or one job of it, that was paused.

    Raises:
        Problem: there is no such queue.
    """
    check_queue(console, queue)
    async with on_record(console, who, "queues resume", _of(queue, job), reason):
        await _control(console, *pause_record(queue, None, job=job))


async def purge(console: Console, queue: str, who: str, *, job: str = "", reason: str = "") -> None:
    """Cancel all jobs that wait in a queue, or those of one name; what runs goes on.

    Raises:
        Problem: there is no such queue.
    """
    check_queue(console, queue)
    async with on_record(console, who, "queues purge", _of(queue, job), reason):
        await console.client.purge(queue, job or None, reason=reason or f"purged by {who}")


def check_queue(console: Console, queue: str) -> None:
    """Nothing, if there is this queue.

    Raises:
        Problem: there is not.
    """
    queues = console.settings.queues
    if queue not in queues:
        raise Problem(404, f"there is no queue {queue!r}; {advice(queue, queues)}")


async def ask(console: Console, job: Job, command: Command) -> None:
    """Put a command where the job's worker takes it from.

    Raises:
        BrokerUnavailable: not acknowledged in time.
    """
    key, value = encode_command(command)
    topic = console.names.commands(job.queue)
    await console.client.delivery.append(
        topic, key=key, value=value, partition=job.row.partition, job_id=job.id
    )


async def _control(console: Console, key: bytes, value: bytes | None) -> None:
    await console.client.delivery.append(
        console.names.control, key=key, value=value, partition=0, job_id=None
    )


def _named(job: Job) -> str:
    return f"{job.id} --job {job.name} --queue {job.queue}"


def _of(queue: str, job: str) -> str:
    return f"{queue} --job {job}" if job else queue
