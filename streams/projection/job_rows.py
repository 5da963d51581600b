"""Rows of jobs, read from the file and written to it, many at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import orjson

from streams.projection.asking import whole
from streams.projection.row import COLUMNS, Row

_values = attrgetter(*COLUMNS)
# What is not in an update never changes, so that indexes of it need not be looked at.
_FIXED: Final = ("n", "hash", "kind", "partition", "id", "key", "key_hash")
_MOVING: Final = tuple(name for name in COLUMNS if name not in _FIXED)
_AT_ONCE: Final = (1_000, 100, 10, 1)  # few statements, which stay prepared; 32,766 values at most


def read_rows(db: sqlite3.Connection, question: str, values: Sequence[Any] = ()) -> list[Row]:
    """The rows of `select ... from jobs question`."""
    columns = ", ".join(COLUMNS)
    of = "jobs." + ", jobs.".join(COLUMNS)
    return [Row.of(row) for row in whole(db, columns, f"(select {of} from {question})", values)]


def rows_with(db: sqlite3.Connection, hashes: Iterable[int]) -> list[Row]:
    """The rows whose ids have these hashes."""
    sought = orjson.dumps(list(hashes)).decode()
    return read_rows(db, "jobs where hash in (select value from json_each(?))", (sought,))


def numbered(db: sqlite3.Connection, numbers: Sequence[int]) -> list[Row]:
    """The rows with these numbers, in this order."""
    sought = orjson.dumps(numbers).decode()
    found = read_rows(db, "jobs where n in (select value from json_each(?))", (sought,))
    by_number = {row.n: row for row in found}
    return [by_number[number] for number in numbers]


def write_rows(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Put rows into the file, new ones and those that have changed."""
    at = 0
    for size in _AT_ONCE:
        while len(rows) - at >= size:
            some = rows[at : at + size]
            db.execute(_statement(size), list(chain.from_iterable(map(_values, some))))
            at += size


@cache
def _statement(size: int) -> str:
    marks = f"({', '.join('?' * len(COLUMNS))})"
    moved = ", ".join(f"{name} = excluded.{name}" for name in _MOVING)
    return (
        f"insert into jobs ({', '.join(COLUMNS)}) values {', '.join([marks] * size)} "
        f"on conflict (n) do update set {moved}"
    )
