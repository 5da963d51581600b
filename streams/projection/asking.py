"""Questions to the file, each answered in one step.

A thread that steps through rows gives the interpreter away at each of them, and waits for whoever
works in it before it has the next one. While much is read from Kafka that is milliseconds a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

import orjson


def ask(db: Connection, columns: str, question: str, values: Sequence[Any] = ()) -> list[list[Any]]:
    """The rows of `select columns question`, in its order."""
    return whole(db, columns, f"(select {columns} {question})", values)


def whole(db: Connection, columns: str, table: str, values: Sequence[Any] = ()) -> list[list[Any]]:
    """These columns of a table or a question in brackets."""
    (answer,) = db.execute(
        f"select json_group_array(json_array({columns})) from {table}", values
    ).fetchone()
    rows: list[list[Any]] = orjson.loads(answer)
    return rows
