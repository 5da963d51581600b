"""`streams jobs ls`: which jobs there are, from the topics themselves."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import typer

from streams.cli import exits
from streams.cli.given import check_given
from streams.cli.output import JSON, fail, print_json, print_table, show_time
from streams.cli.times import read_past

if TYPE_CHECKING:
    from sqlite3 import Connection

    from streams.projection.filter import Filter
    from streams.projection.kinds import Kinds
    from streams.projection.row import Row

_TELL_EVERY_S: Final = 0.2
_CURSOR: Final = re.compile(r"(-?[0-9]{1,16})([no])((?:\.[0-9a-f]{8})*)")
_FAR: Final = 2**61


def ls(
    state: str = typer.Option(
        "", help="States, or waiting, active, delayed, failed, over; separated by commas."
    ),
    queue: str | None = typer.Option(None, help="Jobs of this queue."),
    name: str | None = typer.Option(None, help="Jobs of this name."),
    key: str | None = typer.Option(None, help="Of this ordering key, with its scope or without."),
    error: str | None = typer.Option(None, help="Whose last error is of this type."),
    text: str | None = typer.Option(None, help="That have this in their id, key or message."),
    since: str | None = typer.Option(
        None, help="In their state since then or later: 2h, 2026-12-24T18:00Z."
    ),
    limit: int = typer.Option(50, "-n", "--limit", min=1, help="How many at most."),
    cursor: str | None = typer.Option(None, help="Go on where another list ended, as it says."),
    oldest: bool = typer.Option(False, "--oldest", help="The oldest first, not the newest."),
    as_json: bool = JSON,
) -> None:
    """List jobs, the one that changed last first; reads the topics, and needs no console."""
    from streams.projection.filter import BadFilter, Filter, read_states
    from streams.settings import Settings

    check_given(queue=queue, name=name, key=key, error=error, text=text)
    settings = Settings()
    if queue is not None and queue not in settings.queues:
        fail(f"there is no queue {queue!r}: STREAMS_QUEUES has {', '.join(settings.queues)}", 2)
    try:
        states = read_states(state)
    except BadFilter as bad:
        fail(f"--{bad}", exits.USAGE)
    wanted = Filter(
        states=states,
        queue=queue,
        name=name,
        key=key,
        error=error,
        text=text,
        since=read_past("--since", since),
    )
    behind = None if cursor is None else _read_cursor(cursor, oldest=oldest)
    with taken((queue,) if queue else settings.queues) as db:
        rows, kinds, more = _page(db, wanted, limit, behind, oldest=oldest)
    shown = [_as_json(row, kinds) for row in rows]
    if as_json:
        print_json({"jobs": shown, "cursor": more})
        return
    print_table(
        ("id", "name", "queue", "key", "state", "since", "attempts", "error"),
        [
            (
                each["id"],
                each["name"],
                each["queue"],
                each["key"] or "",
                each["state"],
                show_time(each["since"]),
                str(each["attempts"] or ""),
                ": ".join(filter(None, (each["error"], each["message"]))),
            )
            for each in shown
        ],
    )
    if more is not None:
        print(f"there are more: add --cursor {more}", file=sys.stderr)


@contextmanager
def taken(queues: tuple[str, ...]) -> Iterator[Connection]:
    """A projection of these queues as they are now, in a file that goes away."""
    from streams.projection.connecting import connect
    from streams.projection.snapshot import snapshot
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    settings = Settings()
    with tempfile.TemporaryDirectory(prefix="streams-") as folder:
        path = Path(folder) / "jobs.sqlite"
        names, tell = TopicNames(settings.prefix), _teller()
        asyncio.run(snapshot(settings.bootstrap_servers, names, queues, path, tell=tell))
        tell(0, 0)
        db = connect(path)
        try:
            yield db
        finally:
            db.close()


def _teller() -> Callable[[int, int], None]:
    """Says on a terminal how much was read; at the end (0 of 0) that line goes away."""
    told = 0.0

    def tell(read: int, of: int) -> None:
        nonlocal told
        if not sys.stderr.isatty() or (of and time.monotonic() - told < _TELL_EVERY_S):
            return
        told = time.monotonic()
        line = f"read {read:,} of {of:,} records" if of else ""
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    return tell


_Behind = tuple[int, frozenset[str]]
"""The time of the last job of a list, and marks of those of that time that it had."""


def _page(
    db: Connection, wanted: Filter, limit: int, behind: _Behind | None, *, oldest: bool
) -> tuple[list[Row], Kinds, str | None]:
    """Rows, and the cursor to go on with; numbers of rows are another list's tomorrow."""
    from streams.projection.filter import Cursor
    from streams.projection.kinds import Kinds
    from streams.projection.listing import Listing

    at, had = behind or (0, frozenset())
    first = Cursor(at, -_FAR if oldest else _FAR, not oldest)
    page = Listing(db).page(
        wanted,
        limit=limit + len(had),
        cursor=None if behind is None else first,
        newest_first=not oldest,
        budget_ms=float("inf"),
    )
    rows = [row for row in page.rows if row.at != at or _mark(row) not in had]
    more = page.cursor is not None or len(rows) > limit
    rows = rows[:limit]
    if not more or not rows:
        return rows, Kinds.read(db), None
    last = rows[-1].at
    marks = {_mark(row) for row in rows if row.at == last} | (had if last == at else frozenset())
    cursor = f"{last}{'o' if oldest else 'n'}{''.join(f'.{mark}' for mark in sorted(marks))}"
    return rows, Kinds.read(db), cursor


def _mark(row: Row) -> str:
    return f"{crc32(f'{row.key} {row.id}'.encode()):08x}"


def _read_cursor(text: str, *, oldest: bool) -> _Behind:
    told = _CURSOR.fullmatch(text)
    if told is None:
        fail("--cursor: write what an earlier list said", exits.USAGE)
    if (told[2] == "o") != oldest:
        fail("--cursor: it is of a list in the other order: see --oldest", exits.USAGE)
    return int(told[1]), frozenset(filter(None, told[3].split(".")))


def _as_json(row: Row, kinds: Kinds) -> dict[str, Any]:
    from streams.projection.states import NAMES

    queue, name = kinds.names[row.kind]
    return {
        "id": row.id,
        "name": name,
        "queue": queue,
        "key": row.key,
        "partition": row.partition,
        "state": NAMES[row.state],
        "since": row.at,
        "time": row.time,
        "due": row.due,
        "generation": row.generation,
        "attempts": row.attempts,
        "error": None if row.error is None else kinds.errors[row.error],
        "message": row.message,
        "progress": None if row.done is None else {"processed": row.done, "total": row.total},
        "parent": row.parent,
    }
