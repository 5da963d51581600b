"""`streams dlq export` and `import`: dead letters as lines of JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from streams.cli import exits
from streams.cli.letter_options import takes_filter
from streams.cli.letters import standing
from streams.cli.output import JSON, ask, fail, print_json
from streams.cli.times import check_duration

if TYPE_CHECKING:
    from streams.replay.importing import Imported
    from streams.replay.letter_filter import LetterFilter


@takes_filter
def export(filter: LetterFilter) -> None:
    """Write dead letters to standard output, a line of JSON for each; they stay where they are."""
    count = asyncio.run(_export(filter))
    print(f"{count:,} exported", file=sys.stderr)


async def _export(filter: LetterFilter) -> int:
    from streams.replay.letter_lines import line_of

    count = 0
    async with standing(filter) as letters:
        async for letter in letters:
            sys.stdout.buffer.write(line_of(letter) + b"\n")
            count += 1
    sys.stdout.buffer.flush()
    return count


def import_(
    file: str = typer.Argument(metavar="FILE", help="What was exported; - is standard input."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say how many there are, and no more."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    timeout: str = typer.Option("30s", help="How long to wait for a worker that says nothing."),
    as_json: bool = JSON,
) -> None:
    """Bring back letters that were exported; exit code 1 if a worker did not answer.

    Those that stand, whose jobs are open, or which have completed since, are left as they are.
    """
    from streams.errors import UndecodableRecord
    from streams.replay.importing import Imported

    check_duration("--timeout", timeout)
    try:
        if dry_run or not yes:
            count = _count(file)
            if not dry_run:
                ask(f"Import {count:,} dead letter{'s' if count != 1 else ''}?")
        found = Imported(lines=count) if dry_run else asyncio.run(_import(file, timeout))
    except UndecodableRecord as error:
        fail(f"{file}: {error}", exits.USAGE)
    if as_json:
        print_json(
            {
                "lines": found.lines,
                "imported": found.imported,
                "known": found.known,
                "silent": found.silent,
            }
        )
    elif dry_run:
        print(f"{found.lines:,} would be imported, but for those that are known; none was")
    else:
        known = f", {found.known:,} were known" if found.known else ""
        print(f"{found.imported:,} of {found.lines:,} imported{known}")
    if found.silent:
        fail(
            f"no worker took up {found.silent:,} within {timeout}: is one running for the queue? "
            "They come back when it starts",
            exits.NEGATIVE,
        )


def _count(file: str) -> int:
    """How many letters it has; all of it is looked at before any is imported."""
    from streams.replay.importing import read_lines

    with _opened(file) as lines:
        return sum(1 for _ in read_lines(lines))


async def _import(file: str, timeout: str) -> Imported:
    from streams.durations import to_ms
    from streams.replay.actions_log import written_down
    from streams.replay.importing import import_letters, read_lines
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    settings = Settings()
    bootstrap, names = settings.bootstrap_servers, TopicNames(settings.prefix)
    with _opened(file) as lines:
        log = written_down(bootstrap, names.actions, what="dlq import", on=file)
        async with log as counts:
            found = await import_letters(
                bootstrap, names, read_lines(lines), timeout_ms=to_ms(timeout)
            )
            counts |= {"lines": found.lines, "imported": found.imported}
    return found


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as lines:
            yield lines
    except OSError as error:
        fail(f"{file}: {error.strerror}", exits.USAGE)
