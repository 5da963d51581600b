"""`streams cron`: what the clock enqueues; adding to it, pausing it, running one now."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NoReturn

import typer

from streams.cli import cron_serve, exits
from streams.cli.handlers import loaded
from streams.cli.output import (
    JSON,
    ask,
    fail,
    print_blocks,
    print_fields,
    print_json,
    print_table,
)
from streams.cli.times import check_duration, read_moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.jobs.registry import Registry
    from streams.schedules.book import Known
    from streams.settings import Settings

    Book = dict[str, Known]

app = typer.Typer(
    help="Look at schedules; add, pause and run them.", epilog=exits.EPILOG, no_args_is_help=True
)

app.command("serve", epilog=exits.EPILOG)(cron_serve.serve)

_NAME = typer.Argument(metavar="NAME", help="Of the schedule.")


@app.command(epilog=exits.EPILOG)
def ls(
    name: str | None = typer.Argument(None, metavar="[NAME]", help="All of one schedule."),
    wide: bool = typer.Option(False, "--wide", help="A table: a line for each, however long."),
    as_json: bool = JSON,
) -> None:
    """List schedules: in words, with the next five runs, the last one, and what was missed."""
    from streams.cli import cron_listing

    book = asyncio.run(_read(*loaded()))
    now = _now()
    chosen = list(book.values()) if name is None else [_found(book, name)]
    if as_json:
        print_json([cron_listing.as_json(known, now) for known in chosen])
    elif wide:
        print_table(cron_listing.COLUMNS, [cron_listing.row(known, now) for known in chosen])
    elif name is not None:
        print_fields(cron_listing.fields(chosen[0], now))
    elif chosen:
        print_blocks(cron_listing.block(known, now) for known in chosen)
    else:
        print("there are no schedules")


@app.command(epilog=exits.EPILOG)
def add(
    name: str = _NAME,
    what: list[str] = typer.Argument(
        metavar="[PATTERN] JOB [PAYLOAD]",
        help="A pattern in quotes (none with --every); the name of a job; its payload as JSON.",
    ),
    every: str | None = typer.Option(None, help="An interval instead of a pattern: 10m."),
    tz: str | None = typer.Option(None, help="Of the pattern, as in Europe/Berlin; else UTC."),
    jitter: str | None = typer.Option(None, help="Put each run off by up to so long: 30s."),
    start: str | None = typer.Option(None, help="No run before: 2026-12-24T18:00+01:00."),
    end: str | None = typer.Option(None, help="No run then or later."),
    missed: str | None = typer.Option(None, help="skip, run_once (the default) or run_all."),
    most: int | None = typer.Option(None, help="How many run_all runs; 100 if it is not said."),
    replace: bool = typer.Option(False, "--replace", help="Change one that was added."),
) -> None:
    """Add a schedule for a job that a handler takes; it lasts until `streams cron rm`."""
    from streams.cli.cron_listing import next_runs, show_times
    from streams.client_schedule import Scheduled, check_free
    from streams.cron.words import words
    from streams.schedules.adding import added_for, check_name, new_schedule
    from streams.wire.schedules import encode_added

    settings, registry = loaded()
    pattern, job, payload = _split(what, every)
    schedule = new_schedule(
        pattern,
        every,
        _now(),
        tz=tz,
        jitter=jitter,
        start=read_moment("--start", start),
        end=read_moment("--end", end),
        missed=missed,
        most=most,
    )
    check_name(registry, name)
    added = added_for(registry, name, schedule, job, payload)
    known = asyncio.run(_read(settings, registry)).get(name)
    if known is not None:
        check_free(name, Scheduled(ticked=known.ticked))
    if known is not None and known.origin == "added" and not replace:
        fail(f"a schedule {name} was added already: --replace changes it", exits.USAGE)
    asyncio.run(_write(settings, [encode_added(name, added)]))
    following = show_times(next_runs(schedule, _now()))
    print(f"{name} enqueues {job} {words(schedule)}; next {following}")
    if known is not None and known.pause is not None:
        print(f"{name} is paused: `streams cron resume {name}` starts it")


@app.command(epilog=exits.EPILOG)
def pause(
    name: str = _NAME,
    reason: str = typer.Option("", help="Told by `streams cron ls`."),
) -> None:
    """Enqueue nothing of a schedule until it is resumed; what falls into that was not missed."""
    from streams.wire.schedules import Halt, encode_halt

    settings, registry = loaded()
    known = _found(asyncio.run(_read(settings, registry)), name)
    if known.pause is not None and not reason:
        print(f"{name} is paused already")
        return
    since = _now() if known.pause is None else known.pause.at
    halt = Halt(at=since, is_paused=True, reason=reason)
    asyncio.run(_write(settings, [encode_halt(name, halt)]))
    print(f"{name} is paused: within a second nothing more of it is enqueued")


@app.command(epilog=exits.EPILOG)
def resume(name: str = _NAME) -> None:
    """Go on with a schedule that was paused, or is ahead, from now on."""
    from streams.wire.schedules import Halt, encode_halt

    settings, registry = loaded()
    known = _found(asyncio.run(_read(settings, registry)), name)
    if known.pause is None and known.state(_now()) != "ahead":
        print(f"{name} is not paused")
        return
    asyncio.run(_write(settings, [encode_halt(name, Halt(at=_now(), is_paused=False))]))
    print(f"{name} goes on within a second")


@app.command(epilog=exits.EPILOG)
def run(
    name: str = _NAME,
    wait: bool = typer.Option(False, "--wait", help="Until it is over; 1 if it did not complete."),
    timeout: str = typer.Option("5m", help="How long to wait."),
) -> None:
    """Enqueue one run now, also of a schedule that is paused; prints the job's id."""
    check_duration("--timeout", timeout)
    settings, registry = loaded()
    known = _found(asyncio.run(_read(settings, registry)), name)
    asyncio.run(_run(settings, known, timeout if wait else None))


@app.command(epilog=exits.EPILOG)
def rm(
    name: str = _NAME,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Remove a schedule that was added, or forget one whose handler is gone."""
    from streams.wire.schedules import forgotten

    settings, registry = loaded()
    known = _found(asyncio.run(_read(settings, registry)), name)
    if known.origin == "code":
        definition = registry.by_name(name)
        assert definition is not None
        fail(
            f"the schedule {name} is in the code: take cron= out at {definition.place}, or stop it "
            f"with `streams cron pause {name}`",
            exits.USAGE,
        )
    outcome = "removed: within a second nothing more of it is enqueued"
    doubt = ""
    if known.origin == "elsewhere":
        doubt = "where a worker has its handler it begins anew, and not paused"
        outcome = f"forgotten: {doubt}"
    if not yes:
        ask(f"Remove the schedule {name}{f' ({doubt})' if doubt else ''}?")
    asyncio.run(_write(settings, forgotten(name)))
    print(f"{name} is {outcome}")


def _split(what: list[str], every: str | None) -> tuple[str | None, str, str | None]:
    """Pattern, job and payload."""
    rest = list(what)
    pattern = rest.pop(0) if every is None else None
    if not rest:
        fail("name the job that it enqueues, behind the pattern", exits.USAGE)
    if every is not None and (" " in rest[0] or rest[0].startswith("@")):
        fail(f"{rest[0]!r} is a pattern, and --every has none: leave one of them out", exits.USAGE)
    if len(rest) > 2:
        which = "--every has none: leave it out" if every else "put it in quotes, as one argument"
        fail(f"too many arguments; the pattern: {which}", exits.USAGE)
    return pattern, rest[0], rest[1] if len(rest) > 1 else None


def _now() -> int:
    return time.time_ns() // 1_000_000


async def _read(settings: Settings, registry: Registry) -> Book:
    from streams.schedules.book import read_book
    from streams.schedules.control import open_control
    from streams.wire.topics import TopicNames

    topic = TopicNames(settings.prefix).control
    async with open_control(settings.bootstrap_servers, topic) as reader:
        return read_book(registry, await reader.refresh())


def _found(book: Book, name: str) -> Known:
    if name not in book:
        _fail_unknown(book, name)
    return book[name]


def _fail_unknown(book: Book, name: str) -> NoReturn:
    from streams.jobs.meant import advice

    hint = advice(name, book, else_="there are")
    fail(f"there is no schedule {name!r}; {hint}", exits.NOT_FOUND)


async def _write(settings: Settings, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    from streams.schedules.control import write_control
    from streams.wire.topics import TopicNames

    await write_control(
        settings.bootstrap_servers, TopicNames(settings.prefix).control, list(records)
    )


async def _run(settings: Settings, known: Known, timeout: str | None) -> None:
    from streams.client import JobClient
    from streams.errors import JobFailed, ResultTimeout
    from streams.schedules.calls import cancel_previous, run_by_hand
    from streams.schedules.control import open_delivery

    if known.planned is None:
        why = "is retired: no worker has its handler any more"
        if known.origin == "elsewhere":
            why = "is elsewhere: no handler here has it; name its module in STREAMS_HANDLERS"
        fail(f"the schedule {known.name} {why}", exits.NOT_FOUND)
    async with JobClient(
        settings.bootstrap_servers,
        source="cron",
        prefix=settings.prefix,
        objects=settings.objects_at,
    ) as client:
        now = _now()
        if known.planned.cancels:
            async with open_delivery(settings.bootstrap_servers) as delivery:
                await cancel_previous(delivery, client.topics, known.planned, now)
        handle = await run_by_hand(client, known.planned, now)
        print(handle.id, flush=True)
        if timeout is None:
            return
        try:
            await handle.result(timeout)
        except (JobFailed, ResultTimeout) as error:
            fail(str(error), exits.NEGATIVE)
