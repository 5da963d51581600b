"""How the command line speaks: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NoReturn

import typer

JSON = typer.Option(False, "--json", help="JSON, for programs.")


def fail(message: str, code: int) -> NoReturn:
    """Say why on standard error, and end with an exit code of `exits`."""
    print(f"streams: {message}", file=sys.stderr)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """One JSON document."""
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; as wide as its content where nobody looks at a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if not console.is_terminal:
        console = Console(width=max(80, console.measure(table, options=_wide(console)).maximum))
    console.print(table)


def _wide(console: Any) -> Any:
    return console.options.update(width=10_000)


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Names and values, one line each; empty ones are left out."""
    for name, value in fields:
        if value:
            print(f"{name:<14}{value}")


def show_time(ms: int | None) -> str:
    """A local time with its zone."""
    if not ms:
        return ""
    return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(" ", timespec="milliseconds")


def show_bytes(payload: bytes | None, limit: int = 2_000) -> str:
    """A payload as text, cut to `limit` characters."""
    if payload is None:
        return "(none)"
    text = payload.decode(errors="backslashreplace")
    return text if len(text) <= limit else f"{text[:limit]}... ({len(payload)} bytes)"
