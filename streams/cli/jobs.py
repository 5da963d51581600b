"""`streams jobs`: lists of them, and one, found by its id."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits, jobs_ls, tail, why
from streams.cli.history import history_json, print_history
from streams.cli.output import (
    JSON,
    fail,
    print_fields,
    print_json,
    print_table,
    show_json,
    show_progress,
    show_time,
)
from streams.cli.payloads import show_payload
from streams.cli.times import check_duration, check_start

if TYPE_CHECKING:
    from streams.client_handle import JobStatus
    from streams.jobs.outcome import StoredResult
    from streams.story.finding import Found
    from streams.wire.commands import Command

app = typer.Typer(help="Look at jobs, and act on one.", epilog=exits.EPILOG, no_args_is_help=True)

app.command("ls", epilog=exits.EPILOG)(jobs_ls.ls)
app.command("why", epilog=exits.EPILOG)(why.why)
app.command("tail", epilog=exits.EPILOG)(tail.tail)

_ID = typer.Argument(metavar="ID", help="The job's id.")
_NAME = typer.Option(None, "--name", help="The job's name, where two jobs have the id.")
_QUEUE = typer.Option(None, "--queue", help="Its queue; looks there alone.")


@app.command(epilog=exits.EPILOG)
def show(
    id: str = _ID,
    name: str | None = _NAME,
    queue: str | None = _QUEUE,
    as_json: bool = JSON,
) -> None:
    """Show how far a job is, and its attempts."""
    found = asyncio.run(_find(id, name, queue))
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found)


@app.command(epilog=exits.EPILOG)
def result(
    id: str = _ID,
    name: str | None = _NAME,
    queue: str | None = _QUEUE,
) -> None:
    """Print what a job returned, as JSON; exit code 1 if it did not complete."""
    found = asyncio.run(_find(id, name, queue))
    status = found.status
    if status.state != "completed":
        fail(f"job {id} is {status.state}: it has no result", exits.NEGATIVE)
    if status.stored is None:
        print(show_json(status.result))
    else:
        print(asyncio.run(_fetch(status.stored)).decode())


async def _fetch(stored: StoredResult) -> bytes:
    from streams.settings import Settings
    from streams.wire.objects import open_objects

    where = Settings().objects_at
    try:
        return await open_objects(where).get(stored.path)
    except FileNotFoundError:
        fail(
            f"there is no {stored.path} in {where}: is STREAMS_OBJECTS that of the worker? "
            "It is removed when it is older than the ledger is kept",
            exits.NOT_FOUND,
        )


@app.command(epilog=exits.EPILOG)
def wait(
    id: str = _ID,
    name: str | None = _NAME,
    queue: str | None = _QUEUE,
    timeout: str = typer.Option("5m", help="How long to wait."),
    as_json: bool = JSON,
) -> None:
    """Wait until a job is over; exit code 1 if it did not complete, or not in time."""
    from streams.jobs.states import State
    from streams.story.finding import is_negative

    found = asyncio.run(_wait(id, name, queue, timeout))
    if as_json:
        print_json(_as_json(found))
    else:
        _print_status(found)
    state = found.status.state
    if state is not State.COMPLETED:
        if not is_negative(state):
            fail(f"job {id} is {state} after {timeout}", exits.NEGATIVE)
        raise typer.Exit(exits.NEGATIVE)


@app.command(epilog=exits.EPILOG)
def cancel(
    id: str = _ID,
    name: str | None = _NAME,
    queue: str | None = _QUEUE,
    reason: str = typer.Option("cancelled with streams jobs cancel", help="Kept with the job."),
) -> None:
    """Ask a job's worker to end it; a job that is over stays what it is (exit code 1)."""
    from streams.jobs.states import OVER

    found = asyncio.run(_cancel(id, name, queue, reason))
    state = found.status.state
    if state in OVER or state == "dead":
        fail(
            f"job {id} is {state} already"
            + (": `streams dlq replay` runs it again" if state == "dead" else ""),
            exits.NEGATIVE,
        )
    print(f"asked the worker of queue {found.queue} to cancel {found.job.name} {id}")


@app.command(epilog=exits.EPILOG)
def reschedule(
    id: str = _ID,
    name: str | None = _NAME,
    queue: str | None = _QUEUE,
    delay: str | None = typer.Option(
        None, help="Start it so long from now: 10m, 2h; 0s: now.", show_default=False
    ),
    run_at: str | None = typer.Option(
        None, help="Start it then: 2026-12-24T18:00+01:00.", show_default=False
    ),
) -> None:
    """Give a job that waits, for its time or its turn, another time; exit code 1 if it does not."""
    from streams.client_handle import MAY_BE_TIMED
    from streams.client_request import new_due, now_ms
    from streams.errors import PayloadInvalid

    at = check_start(delay, run_at)
    if delay is None and at is None:
        fail("say when: give --delay or --run-at", exits.USAGE)
    try:
        due = new_due(delay=delay, run_at=at, now=now_ms())
    except PayloadInvalid as error:
        fail(str(error), exits.USAGE)
    found = asyncio.run(_reschedule(id, name, queue, due))
    state = found.status.state
    if state not in MAY_BE_TIMED:
        fail(f"job {id} is {state}: it does not wait", exits.NEGATIVE)
    print(
        f"asked the worker of queue {found.queue} to start {found.job.name} {id} at "
        f"{show_time(due)}"
    )


async def _find(id: str, name: str | None, queue: str | None) -> Found:
    """The one job with this id; ends the command if there is none or more than one."""
    from streams.jobs.meant import advice
    from streams.settings import Settings
    from streams.story.finding import Finder
    from streams.wire.reader import read_topics
    from streams.wire.topics import TopicNames

    settings = Settings()
    finder = Finder(TopicNames(settings.prefix), settings.queues if queue is None else (queue,), id)
    async for record in read_topics(settings.bootstrap_servers, finder.topics):
        finder.take(record)
    candidates = finder.found(name)
    if not candidates:
        if others := {found.job.name for found in finder.found()}:
            hint = advice(name or "", others)
            fail(f"no job with the id {id} is named {name!r}; {hint}", exits.NOT_FOUND)
        fail(f"no job has the id {id}", exits.NOT_FOUND)
    if len(candidates) > 1:
        print_table(
            ("name", "queue", "key", "state"),
            [
                (c.job.name, c.queue, c.job.ordering_key or "", str(c.status.state))
                for c in candidates
            ],
        )
        fail(f"{len(candidates)} jobs have the id {id}: add --name or --queue", exits.USAGE)
    return candidates[0]


async def _wait(id: str, name: str | None, queue: str | None, timeout: str) -> Found:
    from streams.client_story import Place, read_story
    from streams.durations import to_ms
    from streams.jobs.states import State
    from streams.settings import Settings
    from streams.story.finding import is_negative
    from streams.wire.topics import TopicNames

    check_duration("--timeout", timeout)
    limit_s = to_ms(timeout) / 1000
    settings = Settings()
    found = await _find(id, name, queue)
    names = TopicNames(settings.prefix)
    place = Place(
        retry=names.retry(found.queue),
        ledger=names.ledger(found.queue),
        partition=found.partition,
        key=found.job.encode(),
        since=0,
        repeatable=False,
    )
    stories = read_story(
        settings.bootstrap_servers, place, follow=True, timeout_ms=10_000, kafka={}
    )
    try:
        async with asyncio.timeout(limit_s):
            async for story in stories:
                found = replace(found, story=story)
                state = found.status.state
                if state is State.COMPLETED or is_negative(state):
                    break
    except TimeoutError:
        pass
    finally:
        await stories.aclose()
    return found


async def _cancel(id: str, name: str | None, queue: str | None, reason: str) -> Found:
    from streams.jobs.states import OVER, State
    from streams.wire.commands import Command

    found = await _find(id, name, queue)
    if found.status.state not in OVER and found.status.state is not State.DEAD:
        await _ask(found, Command(kind="cancel", job=found.job, reason=reason))
    return found


async def _reschedule(id: str, name: str | None, queue: str | None, due: int) -> Found:
    from streams.client_handle import MAY_BE_TIMED
    from streams.wire.commands import Command

    found = await _find(id, name, queue)
    if found.status.state in MAY_BE_TIMED:
        await _ask(found, Command(kind="reschedule", job=found.job, due=due))
    return found


async def _ask(found: Found, command: Command) -> None:
    from streams.settings import Settings
    from streams.wire.commands import encode_command
    from streams.wire.producer import close_producer, open_producer, send
    from streams.wire.topics import TopicNames

    settings = Settings()
    topic = TopicNames(settings.prefix).commands(found.queue)
    key, value = encode_command(command)
    producer = await open_producer(settings.bootstrap_servers, "streams-cli")
    try:
        await send(
            producer, topic, key=key, value=value, partition=found.partition, job_id=found.job.id
        )
    finally:
        await close_producer(producer)


def _as_json(found: Found) -> dict[str, Any]:
    status = found.status
    return {
        "id": found.job.id,
        "name": found.job.name,
        "queue": found.queue,
        "key": found.job.ordering_key,
        "partition": found.partition,
        "state": status.state.value,
        "generation": status.generation,
        "run": status.run,
        "attempts": status.attempt,
        "result": status.result,
        "stored": None
        if status.stored is None
        else {"path": status.stored.path, "size": status.stored.size},
        "error": status.error,
        "progress": None if status.progress is None else status.progress.plain(),
        "checkpoint": _checkpoint(found),
        "log": [
            {"at": line.at, "attempt": line.attempt, "level": line.level, "text": line.text}
            for line in status.log
        ],
        "due": None if found.story.entry is None else found.story.entry.due,
        "time": _time(found),
        "history": history_json(_history(found)),
    }


def _print(found: Found) -> None:
    _print_status(found)
    entry = found.story.entry
    payload = entry.payload if entry else found.sent.payload if found.sent else None
    checkpoint = _checkpoint(found)
    print_fields(
        [
            # A tick may be enqueued long after the time that it is for, and has no other.
            ("tick" if _is_tick(found) else "sent", show_time(_time(found))),
            ("due", "" if entry is None else show_time(entry.due)),
            # A replay may have changed it, and what is over has it no more.
            (
                "payload" if entry or not found.status.generation else "first payload",
                "" if payload is None else show_payload(found.job.name, payload),
            ),
            ("checkpoint", "" if checkpoint is None else show_json(checkpoint)),
        ]
    )
    print_history(_history(found))
    if log := found.status.log:
        print_table(
            ("attempt", "at", "level", "log"),
            [(str(x.attempt), show_time(x.at), x.level, x.text.replace("\n", " ")) for x in log],
        )


def _print_status(found: Found) -> None:
    status = found.status
    print_fields(
        [
            ("id", found.job.id),
            ("name", found.job.name),
            ("queue", f"{found.queue}, partition {found.partition}"),
            ("key", found.job.ordering_key or ""),
            ("state", status.state.value),
            ("generation", str(status.generation) if status.generation else ""),
            ("attempts", str(status.attempt) if status.attempt else ""),
            ("progress", show_progress(status.progress)),
            ("result", _result(status)),
            # What went wrong before it completed is in its attempts.
            ("error", "" if status.state == "completed" else status.error or ""),
            ("reason", _reason(found)),
        ]
    )


def _reason(found: Found) -> str:
    """Why it ended without a result, if it was not for an error."""
    ledger = found.story.ledger
    return "" if ledger is None or found.status.state == "completed" else ledger.reason


def _result(status: JobStatus) -> str:
    if status.stored is not None:
        size = f"{status.stored.size:,} bytes in object storage"
        return f"{size}, {status.stored.path}: `streams jobs result ID` fetches it"
    return "" if status.result is None else show_json(status.result)


def _checkpoint(found: Found) -> Any:
    """Where the next attempt goes on; None if it begins anew, or there is none."""
    import orjson

    entry = found.story.entry
    kept = None if entry is None or entry.notes is None else entry.notes.checkpoint
    return None if kept is None else orjson.loads(kept)


def _history(found: Found) -> Any:
    latest = max(
        (r for r in (found.story.ledger, found.story.entry) if r is not None),
        key=lambda r: r.position,
        default=None,
    )
    return () if latest is None else latest.history


def _is_tick(found: Found) -> bool:
    """Whether it is a schedule's: then its time is that of the tick."""
    from streams.cron.ticks import is_tick_id

    time = _time(found)
    return time is not None and is_tick_id(found.job.id, time)


def _time(found: Found) -> int | None:
    latest = found.story.entry or found.story.ledger or found.sent
    return None if latest is None else latest.time
