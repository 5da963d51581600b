"""How the command line speaks: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from streams.cli import exits
from streams.wire.times import show_local

if TYPE_CHECKING:
    from streams.jobs.notes import Progress

show_time = show_local  # as commands show times


class Failed(typer.Exit):
    """The end of a command, once it has said why."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(code)
        self.reason = reason


JSON = typer.Option(False, "--json", help="JSON, for programs.")


def fail(message: str, code: int) -> NoReturn:
    """Say why on standard error, and end with an exit code of `exits`."""
    print(f"streams: {message}", file=sys.stderr)
    raise Failed(message, code)


def print_json(value: Any) -> None:
    """One JSON document."""
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table: a column `error` is cut to what room there is, a remedy is wrapped, no other is.

    Where nobody looks at a terminal, each row is one whole line.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[harmless(cell).replace("\n", " ") for cell in row] for row in rows]
    console = Console()

    def table(room: int | None) -> Table:
        """With errors of `room` characters, whole ones if None."""
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        texts = [[Text(cell) for cell in row] for row in cells]
        for number, column in enumerate(columns):
            if column == "error" and room is not None:
                for row in texts:
                    row[number].truncate(room, overflow="ellipsis")
            longest = max((cell_len(row[number].plain) for row in texts), default=0)
            wraps = console.is_terminal and column in _WRAPPED
            if wraps:  # between words
                words = (word for row in texts for word in row[number].plain.split())
                longest = max(map(cell_len, words), default=0)
                longest = max(longest, _WRAPPED[column]) if longest else 0
            # Never narrower, even on a terminal that is: an id that is cut is of no use.
            made.add_column(column, no_wrap=not wraps, min_width=longest)
        for row in texts:
            made.add_row(*row)
        return made

    def least(made: Table) -> int:
        measured = console.measure(made, options=console.options.update(width=10_000))
        return measured.minimum if console.is_terminal else measured.maximum

    room = max(_LEAST, console.width - least(table(0))) if console.is_terminal else None
    shown = table(room)
    width = console.width if console.is_terminal else 80
    Console(width=max(width, least(shown))).print(shown, crop=False)


_WRAPPED: Final = {
    "found": 0,
    "wanted": 0,
    "remedy": 0,
}
"""Columns that are wrapped in a terminal, and how many characters each has at least."""
_LEAST: Final = 20  # characters of an error
TOGETHER: Final = "\u00a0"


def print_blocks(blocks: Iterable[tuple[str, Sequence[tuple[str, str]]]]) -> None:
    """Of each a heading, with names and values below it; empty ones are left out.

    On a terminal values are wrapped to its width, but never at a space that is `TOGETHER`.
    """
    from textwrap import wrap

    from rich.console import Console

    console = Console()
    for heading, lines in blocks:
        console.print(heading, style="bold", markup=False, highlight=False, soft_wrap=True)
        told = [(name, value) for name, value in lines if value]
        beside = max((len(name) for name, _ in told), default=0) + 3
        room = max(_LEAST, console.width - beside)
        for name, value in told:
            parts = [value]
            if console.is_terminal:
                parts = wrap(value, room, break_long_words=False, break_on_hyphens=False)
            for part in parts:
                print(f"{f'  {name}':<{beside}}{part.replace(TOGETHER, ' ')}")
                name = ""


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Names and values, one line each; empty ones are left out."""
    for name, value in fields:
        if value:
            print(f"{name:<14}{harmless(value)}")


def harmless(text: str) -> str:
    """What came from somewhere, without what moves a terminal's cursor or changes its colours."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def show_progress(progress: Progress | None) -> str:
    """`45 of 60 (75 %)`."""
    if progress is None:
        return ""
    if progress.total is None:
        return f"{progress.processed:,}"
    return f"{progress.processed:,} of {progress.total:,} ({progress.percentage:g} %)"


def show_age(ms: int) -> str:
    """About how long: `45s`, `12m`, `3h`, `9d`."""
    seconds = max(0, ms) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def show_json(value: Any) -> str:
    """A value on one line, as programs read it."""
    import orjson

    return orjson.dumps(value, default=str).decode()


def show_bytes(payload: bytes | None, limit: int = 2_000) -> str:
    """A payload as text, cut to `limit` characters."""
    if payload is None:
        return "(none)"
    text = payload.decode(errors="backslashreplace")
    return text if len(text) <= limit else f"{text[:limit]}... ({len(payload)} bytes)"


def ask(question: str) -> None:
    """Go on only if somebody says yes."""
    if not sys.stdin.isatty():
        fail(f"{question} Nobody is there to answer: add --yes", exits.USAGE)
    if not confirmed(question):
        raise typer.Exit(exits.NEGATIVE)


def confirmed(question: str) -> bool:
    """Whether somebody says yes; who presses Ctrl-C says neither, and interrupts."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise KeyboardInterrupt from None
