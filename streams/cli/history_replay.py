"""`streams history replay`: old events through today's handlers, in shadow or as real jobs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer

from streams.cli import exits
from streams.cli.output import JSON, fail
from streams.cli.times import read_past

if TYPE_CHECKING:
    from streams.jobs.definition import JobDefinition
    from streams.jobs.registry import Registry
    from streams.settings import Settings

app = typer.Typer(
    help="Run old events through today's handlers.",
    epilog=exits.EPILOG,
    no_args_is_help=True,
)

_RUN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an operator asked for, in both ways; times in ms since the epoch."""

    settings: Settings
    registry: Registry
    event: str
    jobs: Sequence[JobDefinition]
    since: int
    until: int
    now: int
    key: str | None
    limit: int | None
    as_json: bool
    told: str  # as it was asked for


@app.callback()
def history() -> None:
    """Run old events through today's handlers."""


@app.command(epilog=exits.EPILOG)
def replay(
    event: str = typer.Argument(metavar="TYPE", help="Of the events, such as user.signed_up."),
    since: str = typer.Option(..., help="From when on: 7d ago, or 2026-12-24T18:00+01:00."),
    until: str | None = typer.Option(None, help="Up to when; else up to now.", show_default=False),
    job: list[str] = typer.Option(
        [], help="Of this handler alone; may be given again. Else all that subscribe."
    ),
    key: str | None = typer.Option(
        None, help="The job's key, with or without its scope.", show_default=False
    ),
    limit: int | None = typer.Option(
        None, min=1, help="The oldest so many events.", show_default=False
    ),
    shadow: bool = typer.Option(
        False, "--shadow", help="Send nothing, and compare with what is on record."
    ),
    concurrency: int = typer.Option(10, min=1, help="In shadow: jobs side by side."),
    ignore: list[str] = typer.Option(
        [],
        help="In shadow: a field of results and payloads that is left out; may be given again.",
    ),
    show: int = typer.Option(
        10, min=0, help="In shadow: how many differences, and jobs with no record, are shown."
    ),
    queue: str = typer.Option("history", help="Real jobs: the queue that they go to."),
    run: str | None = typer.Option(
        None, help="Real jobs: the replay's name; the same one goes on.", show_default=False
    ),
    rate: str = typer.Option("50/s", help="Real jobs: no faster than this."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Real jobs: count them, and no more."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = JSON,
) -> None:
    """Replay old events; exit code 3 if there are none.

    With --shadow exit code 1 if a job comes to something else, 3 if nothing could be compared.
    """
    from streams.cli.handlers import loaded

    now = int(time.time() * 1000)
    begin, end = read_past("--since", since), read_past("--until", until)
    if begin is None or begin >= (end or now):
        fail(f"--since {since} is not before {until or 'now'}", exits.USAGE)
    if shadow and (dry_run or run is not None):
        fail("--run and --dry-run are for real jobs: leave them out, or --shadow", exits.USAGE)
    if run is not None and not _RUN.fullmatch(run):
        fail(f"--run {run}: up to 64 letters, digits, dots, hyphens, underscores", exits.USAGE)
    for field in ignore:
        if "," in field or not field.strip():
            each = " ".join(f"--ignore {part.strip()}" for part in field.split(",") if part.strip())
            fail(f"--ignore {field!r} is no field: write {each or '--ignore FIELD'}", exits.USAGE)
    settings, registry = loaded(to_run=shadow)
    given = [("since", since), ("until", until), *(("job", each) for each in job)]
    given += [("key", key), ("limit", None if limit is None else str(limit))]
    order = Order(
        settings=settings,
        registry=registry,
        event=event,
        jobs=subscribers(registry, event, job),
        since=begin,
        until=end or now,
        now=now,
        key=key,
        limit=limit,
        as_json=as_json,
        told=" ".join([event, *(f"--{name} {said}" for name, said in given if said is not None)]),
    )
    if shadow:
        from streams.cli.history_shadow import run_shadow

        run_shadow(order, concurrency=concurrency, ignored=frozenset(ignore), shown=show, yes=yes)
        return
    from streams.cli.history_again import run_again

    run_again(
        order,
        queue=queue,
        run=run or time.strftime("%Y-%m-%d-%H%M%S", time.gmtime()),
        rate=rate,
        dry_run=dry_run,
        yes=yes,
    )


def subscribers(registry: Registry, event: str, asked: Sequence[str]) -> tuple[JobDefinition, ...]:
    """The handlers that are meant; ends the command if one is none of the event's."""
    from streams.jobs.meant import advice

    known = {each.name: each for each in registry.subscribers(event)}
    if not known:
        hint = advice(event, registry.event_types(), else_="event types are")
        fail(f"nobody subscribes to {event!r}; {hint}", exits.USAGE)
    for name in asked:
        if name not in known:
            hint = advice(name, known, else_=f"those of {event} are")
            fail(f"--job {name} does not subscribe to {event}; {hint}", exits.USAGE)
    return tuple(known[name] for name in dict.fromkeys(asked)) or tuple(known.values())
