"""`streams dlq`: the dead letters, and their second chance."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits
from streams.cli.output import (
    JSON,
    ask,
    fail,
    print_fields,
    print_json,
    print_table,
    show_bytes,
    show_time,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.replay.letters import Letter

app = typer.Typer(
    help="Look at dead letters, and replay them.", epilog=exits.EPILOG, no_args_is_help=True
)

_LETTER = typer.Argument(
    metavar="LETTER", help="The job's id, or topic/partition/offset of what could not be decoded."
)
_NAME = typer.Option(None, "--name", help="The job's name.")
_QUEUE = typer.Option(None, "--queue", help="The job's queue.")


@app.command("ls", epilog=exits.EPILOG)
def ls(name: str | None = _NAME, queue: str | None = _QUEUE, as_json: bool = JSON) -> None:
    """List the dead letters, oldest failure first."""
    letters = _chosen(asyncio.run(_letters()), None, name, queue)
    if as_json:
        print_json([_as_json(letter) for letter in letters])
        return
    print_table(
        ("letter", "job", "queue", "attempts", "failed", "error"),
        [
            (
                letter.id,
                letter.name or "(could not be decoded)",
                letter.queue,
                str(letter.attempts),
                show_time(letter.last_failure),
                f"{letter.error}: {letter.message}".splitlines()[0][:100],
            )
            for letter in letters
        ],
    )


@app.command(epilog=exits.EPILOG)
def show(
    letter: str = _LETTER,
    name: str | None = _NAME,
    queue: str | None = _QUEUE,
    as_json: bool = JSON,
) -> None:
    """Show one dead letter whole."""
    one = _one(_chosen(asyncio.run(_letters()), letter, name, queue), letter)
    if as_json:
        print_json(
            {
                **_as_json(one),
                "trace": one.trace,
                "payload": None if one.payload is None else show_bytes(one.payload, 10**7),
                "headers": {name: show_bytes(value) for name, value in one.headers},
            }
        )
        return
    topic, partition, offset = one.origin
    print_fields(
        [
            ("letter", one.id),
            ("job", one.name),
            ("queue", one.queue),
            ("key", "" if one.job is None else one.job.ordering_key or ""),
            ("generation", str(one.generation)),
            ("attempts", str(one.attempts)),
            ("first failed", show_time(one.first_failure)),
            ("last failed", show_time(one.last_failure)),
            ("from", f"{topic}/{partition}/{offset}"),
            ("error", f"{one.error}: {one.message}"),
            ("payload", show_bytes(one.payload)),
        ]
    )
    for header, value in one.headers:
        print(f"  {header}: {show_bytes(value, 200)}")
    if one.trace:
        print(f"\n{one.trace}")


@app.command(epilog=exits.EPILOG)
def replay(
    letter: str | None = typer.Argument(None, metavar="LETTER", help=_LETTER.help),
    all: bool = typer.Option(False, "--all", help="Every letter, or every one of --name, --queue."),
    name: str | None = _NAME,
    queue: str | None = _QUEUE,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    timeout: str = typer.Option("30s", help="How long to wait for the workers."),
) -> None:
    """Replay one letter, or all; exit code 1 if a worker did not take one up in time."""
    from streams.durations import to_ms

    if (letter is None) is not all:
        fail("name one LETTER, or give --all", exits.USAGE)
    try:
        to_ms(timeout)
    except ValueError as error:
        fail(f"--timeout: {error}", exits.USAGE)
    letters = _chosen(asyncio.run(_letters()), letter, name, queue)
    if letter is not None:
        letters = [_one(letters, letter)]
    if not letters:
        print("there are no dead letters")
        return
    if all and not yes:
        ask(f"Replay {len(letters)} dead letter{'s' if len(letters) > 1 else ''}?")
    left = asyncio.run(_replay(letters, timeout))
    print(f"{len(letters) - len(left)} of {len(letters)} replayed")
    if left:
        ids = ", ".join(one.id for one in left[:5]) + (", ..." if len(left) > 5 else "")
        fail(
            f"no worker replayed {ids} within {timeout}: is one running for the queue? "
            "They are replayed when it starts, unless a job is no longer dead",
            exits.NEGATIVE,
        )


async def _letters() -> list[Letter]:
    from streams.replay.letters import standing_letters
    from streams.replay.reader import read_topics
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    settings = Settings()
    dead = TopicNames(settings.prefix).dead
    return await standing_letters(read_topics(settings.bootstrap_servers, [dead]))


async def _replay(letters: Sequence[Letter], timeout: str) -> list[Letter]:
    from rich.console import Console
    from rich.progress import Progress

    from streams.replay.resend import replay_letters
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    settings = Settings()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("replaying", total=len(letters))
        return await replay_letters(
            settings.bootstrap_servers,
            TopicNames(settings.prefix),
            letters,
            timeout=timeout,
            on_replayed=lambda _: progress.advance(bar),
        )


def _chosen(
    letters: Sequence[Letter], id: str | None, name: str | None, queue: str | None
) -> list[Letter]:
    return [
        letter
        for letter in letters
        if (id is None or id == letter.id)
        and (name is None or name == letter.name)
        and (queue is None or queue == letter.queue)
    ]


def _one(letters: Sequence[Letter], asked: str) -> Letter:
    if not letters:
        fail(f"there is no dead letter {asked}", exits.NOT_FOUND)
    # An older generation's letter may stand after a crash; only the newest can be replayed.
    newest = {letter.job: letter for letter in sorted(letters, key=lambda one: one.generation)}
    if len(newest) > 1:
        print_table(
            ("letter", "job", "queue", "key"),
            [
                (one.id, one.name, one.queue, "" if one.job is None else one.job.ordering_key or "")
                for one in newest.values()
            ],
        )
        fail(f"{len(newest)} letters are named {asked}: add --name or --queue", exits.USAGE)
    return next(iter(newest.values()))


def _as_json(letter: Letter) -> dict[str, Any]:
    topic, partition, offset = letter.origin
    return {
        "letter": letter.id,
        "job": letter.name or None,
        "queue": letter.queue,
        "key": None if letter.job is None else letter.job.ordering_key,
        "generation": letter.generation,
        "attempts": letter.attempts,
        "error": letter.error,
        "message": letter.message,
        "firstFailure": letter.first_failure,
        "lastFailure": letter.last_failure,
        "origin": {"topic": topic, "partition": partition, "offset": offset},
    }
