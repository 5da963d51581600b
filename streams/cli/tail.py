"""`streams jobs tail`: what happens to jobs, as it happens."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits
from streams.cli.output import fail, show_json, show_progress, show_time
from streams.cli.times import check_duration

if TYPE_CHECKING:
    from streams.client import Change


def tail(
    name: list[str] = typer.Option([], "--name", help="Jobs of this name; may be repeated."),
    queue: list[str] = typer.Option([], "--queue", help="Of this queue; may be repeated."),
    state: list[str] = typer.Option([], "--state", help="Changes to this state; may be repeated."),
    id: list[str] = typer.Option([], "--id", help="Of this job; may be repeated."),
    since: str | None = typer.Option(
        None, help="Begin so long ago, as in 10m; without it, with what happens now."
    ),
    limit: int | None = typer.Option(None, "-n", "--limit", min=1, help="End after so many."),
    as_json: bool = typer.Option(False, "--json", help="A line of JSON for each change."),
) -> None:
    """Print each change of a job's state as it happens, until Ctrl-C."""
    from streams.durations import to_ms
    from streams.jobs.states import State

    if unknown := [one for one in state if one not in list(State)]:
        fail(f"--state {unknown[0]}: states are {', '.join(State)}", exits.USAGE)
    begin = None
    if since is not None:
        check_duration("--since", since)
        begin = datetime.now(UTC) - timedelta(milliseconds=to_ms(since))
    wanted = {
        "name": name or None,
        "queue": queue or None,
        "state": state or None,
        "id": id or None,
        "since": begin,
    }
    asyncio.run(_tail(wanted, limit, as_json))


async def _tail(wanted: dict[str, Any], limit: int | None, as_json: bool) -> None:
    from streams.client import JobClient
    from streams.settings import Settings

    settings = Settings()
    client = JobClient(settings.bootstrap_servers, source="streams-cli", prefix=settings.prefix)
    seen = 0
    async with aclosing(client.watch(**wanted)) as changes:
        async for change in changes:
            print(show_json(_as_json(change)) if as_json else _line(change))
            sys.stdout.flush()  # whoever reads a pipe wants it now
            seen += 1
            if seen == limit:
                return


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "at": change.at,
        "queue": change.queue,
        "name": change.name,
        "id": change.id,
        "key": change.key,
        "state": change.state,
        "generation": change.generation,
        "attempt": change.attempt,
        "due": change.due,
        "error": change.error,
        "progress": None if change.progress is None else change.progress.plain(),
    }


def _line(change: Change) -> str:
    error = "" if change.error is None else f"  {change.error.splitlines()[0]}"
    due = "" if change.due is None else f"  due {show_time(change.due)}"
    if change.progress is not None:
        due += f"  {show_progress(change.progress)}"
    return (
        f"{show_time(change.at)}  {change.state:<10} {change.queue:<10} {change.name} {change.id}"
        f"{due}{error}"
    )
