"""`streams dlq`: the dead letters, and their second chance."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from streams.cli import exits
from streams.cli.dlq_files import export, import_
from streams.cli.dlq_resolve import discard, replay
from streams.cli.letter_options import LETTER, takes_filter
from streams.cli.letters import attempts_of, find_letter, nothing, plain, print_letter, standing
from streams.cli.output import JSON, fail, print_json, print_table, show_time

if TYPE_CHECKING:
    from streams.replay.letter_filter import LetterFilter
    from streams.replay.letters import Letter
    from streams.replay.listing import Group, Page
    from streams.wire.state import AttemptRecord

app = typer.Typer(
    help="Look at dead letters, replay and discard them.",
    epilog=exits.EPILOG,
    no_args_is_help=True,
)

app.command("replay", epilog=exits.EPILOG)(replay)
app.command("discard", epilog=exits.EPILOG)(discard)
app.command("export", epilog=exits.EPILOG)(export)
app.command("import", epilog=exits.EPILOG)(import_)


@app.command("ls", epilog=exits.EPILOG)
@takes_filter
def ls(
    filter: LetterFilter,
    by: str | None = typer.Option(
        None, help="Count them: by error, message, job, queue, key, version or generation."
    ),
    limit: int = typer.Option(50, min=1, max=10_000, help="How many a page has."),
    cursor: str | None = typer.Option(
        None, help="The next page: what the one before said.", show_default=False
    ),
    as_json: bool = JSON,
) -> None:
    """List the dead letters, the newest first."""
    from streams.replay.listing import GROUPS, check_cursor

    if by is not None and by not in GROUPS:
        fail(f"--by {by}: there are {', '.join(GROUPS)}", exits.USAGE)
    if by is not None:
        _print_groups(asyncio.run(_groups(filter, by)), by, as_json)
        return
    try:
        check_cursor(cursor)
    except ValueError as error:
        fail(f"--cursor: {error}", exits.USAGE)
    page, names = asyncio.run(_page(filter, limit, cursor))
    _print_page(page, filter, names, as_json)


@app.command(epilog=exits.EPILOG)
@takes_filter
def show(
    letter: str = typer.Argument(metavar="LETTER", help=LETTER),
    *,
    filter: LetterFilter,
    as_json: bool = JSON,
) -> None:
    """Show one dead letter whole, with its job's attempts."""
    print_letter(*asyncio.run(_letter_and_attempts(letter, filter)), as_json=as_json)


async def _letter_and_attempts(
    asked: str, filter: LetterFilter
) -> tuple[Letter, tuple[AttemptRecord, ...]]:
    letter = await find_letter(asked, filter)
    return letter, await attempts_of(letter)


async def _page(filter: LetterFilter, limit: int, cursor: str | None) -> tuple[Page, list[str]]:
    """A page; if there is nothing on it the names of the jobs that have letters."""
    from streams.replay.letter_filter import LetterFilter
    from streams.replay.listing import page_of

    async with standing(filter) as letters:
        page = await page_of(letters, limit, cursor)
    names: list[str] = []
    if not page.matching and filter.job is not None:
        names = [group.value for group in await _groups(LetterFilter(), "job") if group.value]
    return page, names


async def _groups(filter: LetterFilter, by: str) -> list[Group]:
    from streams.replay.listing import groups_of

    async with standing(filter) as letters:
        return await groups_of(letters, by)


def _print_page(page: Page, filter: LetterFilter, names: list[str], json: bool) -> None:
    if json:
        print_json(
            {
                "letters": [plain(letter) for letter in page.letters],
                "matching": page.matching,
                "next": page.next,
            }
        )
        return
    if not page.matching:
        print(nothing(filter, names))
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
            for letter in page.letters
        ],
    )
    if page.next is not None:
        print(f"{len(page.letters)} of {page.matching:,}; older ones: --cursor {page.next}")


def _print_groups(groups: list[Group], by: str, json: bool) -> None:
    if json:
        print_json(
            [
                {
                    by: group.value,
                    "letters": group.count,
                    "first": group.first,
                    "last": group.last,
                    "example": group.example,
                }
                for group in groups
            ]
        )
        return
    print_table(
        ("letters", by, "first", "last", "example"),
        [
            (
                f"{group.count:,}",
                group.value,
                show_time(group.first),
                show_time(group.last),
                group.example,
            )
            for group in groups
        ],
    )
