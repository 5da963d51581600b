"""`streams queues`: the queues, and stopping and starting what is in them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from streams.cli import exits
from streams.cli.jobs_ls import taken
from streams.cli.output import JSON, ask, fail, print_json, print_table, show_age, show_time

if TYPE_CHECKING:
    from streams.jobs.definition import JobDefinition
    from streams.projection.numbers import Count
    from streams.settings import Settings
    from streams.worker.control import Control

app = typer.Typer(
    help="Look at queues; pause them, and empty them.", epilog=exits.EPILOG, no_args_is_help=True
)

_QUEUE = typer.Argument(metavar="QUEUE", help="A queue of STREAMS_QUEUES.")
_JOB = typer.Option("", metavar="NAME", help="Only the jobs of this name.")


@app.command(epilog=exits.EPILOG)
def ls(as_json: bool = JSON) -> None:
    """List queues: how many jobs are in each, whose they are, and which are paused since when."""
    from streams.projection.numbers import counts, oldest_waiting
    from streams.settings import Settings

    settings = Settings()
    control = asyncio.run(_read(settings))
    with taken(settings.queues) as db:
        numbers, oldest = totals(counts(db)), oldest_waiting(db)
    paused = control.paused()
    if as_json:
        print_json(
            [
                {
                    "queue": queue,
                    **numbers.get(queue, _NONE),
                    "oldest_waiting": oldest.get(queue),
                    "group": control.owner(queue),
                    "paused": None if (pause := paused.get((queue, ""))) is None else pause.since,
                    "reason": None if pause is None else pause.reason,
                    "paused_jobs": {
                        job: {"since": told.since, "reason": told.reason}
                        for (of, job), told in paused.items()
                        if of == queue and job
                    },
                }
                for queue in settings.queues
            ]
        )
        return
    now = time.time_ns() // 1_000_000
    print_table(
        ("queue", *_NUMBERS, "oldest", "group", "paused since", "reason"),
        [
            (
                f"{queue}: {job}" if job else queue,
                *("" if job else f"{numbers.get(queue, _NONE)[each]:,}" for each in _NUMBERS),
                "" if job or queue not in oldest else show_age(now - oldest[queue]),
                "" if job else control.owner(queue) or "",
                "" if (pause := paused.get((queue, job))) is None else show_time(pause.since),
                "" if pause is None else pause.reason,
            )
            for queue in settings.queues
            for job in ("", *sorted(job for of, job in paused if of == queue and job))
        ],
    )


_NUMBERS: Final = ("waiting", "active", "delayed", "completed", "failed")
_NONE: Final = dict.fromkeys(_NUMBERS, 0)


def totals(counts: Iterable[Count]) -> dict[str, dict[str, int]]:
    """By queue: how many jobs of it there are of each of `_NUMBERS`."""
    from streams.projection.states import GROUPS

    found: dict[str, dict[str, int]] = {}
    for count in counts:
        of = found.setdefault(count.queue, dict(_NONE))
        for group in _NUMBERS:
            if count.state in GROUPS.get(group, (group,)):
                of[group] += count.number
    return found


@app.command(epilog=exits.EPILOG)
def pause(
    queue: str = _QUEUE,
    job: str = _JOB,
    reason: str = typer.Option("paused with streams queues pause", help="Told to who asks why."),
) -> None:
    """Start nothing more of a queue, on all workers, until it is resumed; what runs goes on."""
    asyncio.run(_write(queue, job, time.time_ns() // 1_000_000, reason))
    print(f"{_told(queue, job)} is paused: within a second workers start nothing of it")
    _tell_doubt(queue, job)


@app.command(epilog=exits.EPILOG)
def resume(queue: str = _QUEUE, job: str = _JOB) -> None:
    """Go on with a queue, or a job of it, that was paused."""
    asyncio.run(_write(queue, job, None, ""))
    print(f"{_told(queue, job)} goes on within a second")
    _tell_doubt(queue, job)


@app.command(epilog=exits.EPILOG)
def purge(
    queue: str = _QUEUE,
    job: str = _JOB,
    reason: str = typer.Option("purged with streams queues purge", help="Kept with each job."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Cancel all jobs that wait in a queue; what runs goes on, and dead letters stay."""
    from streams.settings import Settings

    settings = Settings()
    _check_queue(settings, queue)
    _tell_doubt(queue, job)
    if not yes:
        ask(f"Cancel all jobs of {_told(queue, job)} that wait?")
    asyncio.run(_purge(settings, queue, job, reason))
    print(f"what waits of {_told(queue, job)} is cancelled as soon as its workers come to it")


async def _purge(settings: Settings, queue: str, job: str, reason: str) -> None:
    from streams.client import JobClient

    async with JobClient(
        settings.bootstrap_servers, source="streams-cli", prefix=settings.prefix
    ) as client:
        await client.purge(queue, job or None, reason=reason)


def _told(queue: str, job: str) -> str:
    return f"{job} of queue {queue}" if job else f"queue {queue}"


def doubt(known: Sequence[JobDefinition], queue: str, job: str) -> str | None:
    """What is odd about a job's name there, by the handlers that are here."""
    from streams.jobs.meant import advice

    names = {each.name: each.queue for each in known}
    if not job or not names:
        return None
    if job not in names:
        return f"no handler here takes jobs named {job!r}; {advice(job, names)}"
    if names[job] != queue:
        return f"jobs named {job!r} go to queue {names[job]}, unless their sender says otherwise"
    return None


def _tell_doubt(queue: str, job: str) -> None:
    """Say it, and no more: the handler may be elsewhere, or gone."""
    from streams.jobs.discovery import handler_modules, load_handlers
    from streams.settings import Settings

    if not job:
        return
    try:
        known = load_handlers(handler_modules(Settings().handlers))
    except Exception:  # whoever asks need not have the handlers
        return
    if (odd := doubt(known, queue, job)) is not None:
        print(f"streams: {odd}", file=sys.stderr)


def _check_queue(settings: Settings, queue: str) -> None:
    from streams.jobs.meant import advice

    if queue not in settings.queues:
        hint = advice(queue, settings.queues, else_="STREAMS_QUEUES has")
        fail(f"there is no queue {queue!r}; {hint}", exits.USAGE)


async def _write(queue: str, job: str, since: int | None, reason: str) -> None:
    from streams.settings import Settings
    from streams.wire.producer import close_producer, open_producer, send
    from streams.wire.topics import TopicNames
    from streams.worker.control import pause_record

    settings = Settings()
    _check_queue(settings, queue)
    key, value = pause_record(queue, since, reason, job=job)
    topic = TopicNames(settings.prefix).control
    producer = await open_producer(settings.bootstrap_servers, "streams-cli")
    try:
        await send(producer, topic, key=key, value=value, partition=0)
    finally:
        await close_producer(producer)


async def _read(settings: Settings) -> Control:
    from streams.wire.reader import read_topics
    from streams.wire.topics import TopicNames
    from streams.worker.control import Control

    topic = TopicNames(settings.prefix).control
    no_log: Any = None  # what is read here is told to it
    control = Control(no_log, topic)
    async for record in read_topics(settings.bootstrap_servers, [topic]):
        control.take(record)
    return control
