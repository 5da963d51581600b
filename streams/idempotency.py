"""Once, within a transaction of your own: what a handler does to a database leaves one effect.

A job may run again after what it did was done: its worker can die before it has said so. Whoever
records the job's key in the same transaction as the effect has both, or neither:

    with engine.begin() as db:
        if not once.first_time(db, ctx.idempotency_key):
            return
        db.execute(...)

For connections and sessions of SQLAlchemy (asynchronous ones through their `run_sync`), of psycopg
and of sqlite3; PostgreSQL and SQLite.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from streams.errors import StreamsError
from streams.sql import Statements, quoted_column, quoted_table, statements_on

__all__ = ["Once", "upsert"]

T = TypeVar("T")

_MISSING: Final = re.compile(r"no such table|relation .* does not exist|UndefinedTable")
_any: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class Once:
    """Remembers what was done in a table of your database; `table` may be `schema.table`.

    If two transactions have the same key at a time, the second one waits for the end of the first:
    after a commit it is not the first time, after a rollback it is. (SQLite lets one transaction
    write at a time: the second waits for as long as its `timeout` says.)
    """

    def __init__(self, table: str = "streams_once") -> None:
        self._table = quoted_table(table)
        self._name = table

    @property
    def ddl(self) -> str:
        """What creates the table, for your migrations; the same for both databases."""
        return (
            f"CREATE TABLE IF NOT EXISTS {self._table} (\n"
            "    key TEXT PRIMARY KEY,\n"
            "    done_at BIGINT NOT NULL,\n"  # milliseconds since the epoch
            "    result TEXT\n"
            ")"
        )

    def create(self, db: Any) -> None:
        """Create the table, if it is not there."""
        statements_on(db).run(self.ddl, {})

    def first_time(self, db: Any, key: str) -> bool:
        """Whether nobody has recorded this key; it is recorded now, if the transaction commits.

        Raises:
            StreamsError: the table is not there, or no transaction would hold the effect as well.
            TypeError: `db` is no connection of a kind that is known here.
            ValueError: the key is empty, which would be everybody's.
        """
        if not key:
            raise ValueError(f"{key!r} is nobody's key: give ctx.idempotency_key")
        statements = statements_on(db)
        statements.require_transaction()
        row = {"key": key, "done_at": int(time.time() * 1000)}
        return (
            self._run(
                statements,
                f"INSERT INTO {self._table} (key, done_at) VALUES (:key, :done_at) "
                "ON CONFLICT (key) DO NOTHING",
                row,
            )
            == 1
        )

    def run(self, db: Any, key: str, work: Callable[[], T]) -> T:
        """What `work` returns the first time, and the same again each time after that.

        It is kept as JSON, and comes back as JSON has it the first time, too.

        Raises:
            StreamsError: see `first_time`; or what `work` returned has no JSON.
        """
        statements = statements_on(db)
        if self.first_time(db, key):
            kept = _json(work())
            self._run(
                statements,
                f"UPDATE {self._table} SET result = :result WHERE key = :key",
                {"key": key, "result": kept},
            )
        else:
            found = statements.one(
                f"SELECT result FROM {self._table} WHERE key = :key", {"key": key}
            )
            kept = found[0] if found is not None and found[0] is not None else "null"
        result: T = json.loads(kept)
        return result

    def forget(self, db: Any, older_than: timedelta) -> int:
        """Delete what was recorded longer ago than that; how many there were.

        A job can't run again once its `unique_for` is over and its dead letter is gone: keep keys
        for longer than both.
        """
        limit = int((time.time() - older_than.total_seconds()) * 1000)
        return self._run(
            statements_on(db), f"DELETE FROM {self._table} WHERE done_at < :limit", {"limit": limit}
        )

    def _run(self, statements: Statements, statement: str, values: Mapping[str, Any]) -> int:
        try:
            return statements.run(statement, values)
        except Exception as error:
            if _MISSING.search(f"{type(error).__name__} {error}"):
                raise StreamsError(
                    f"there is no table {self._name}: create it in a migration with "
                    f"Once({self._name!r}).ddl, or call create(db) once"
                ) from error
            raise


def upsert(
    db: Any,
    table: str,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    newer: str | None = None,
) -> bool:
    """Write the row with this key, whether it is there or not; doing it again changes nothing.

    With `newer`, a column of `values`, a row that has a later or the same value there stays as it
    is: what runs again late does not bring back the past. False if it stayed. A row with NULL there
    is older than any.

    Raises:
        ValueError: a name is none that can be quoted, there is no key, a column is in both, or
            `newer` is no column of `values`.
        TypeError: `db` is no connection of a kind that is known here.
    """
    if newer is not None and newer not in values:
        raise ValueError(f"newer={newer!r} is not among the values: {', '.join(values)}")
    if not key:
        raise ValueError(
            "no key: name the columns that tell one row from another, and their values"
        )
    if both := key.keys() & values.keys():
        raise ValueError(f"{', '.join(sorted(both))}: a column is of the key or of the values")
    row = {**key, **values}
    name = quoted_table(table)
    columns = {column: quoted_column(column) for column in row}
    changes = ", ".join(f"{columns[each]} = excluded.{columns[each]}" for each in values)
    statement = (
        f"INSERT INTO {name} ({', '.join(columns.values())}) "
        f"VALUES ({', '.join(f':{column}' for column in row)}) "
        f"ON CONFLICT ({', '.join(columns[each] for each in key)}) "
    )
    statement += f"DO UPDATE SET {changes}" if changes else "DO NOTHING"
    if newer is not None:
        there = f"{name}.{columns[newer]}"
        statement += f" WHERE {there} IS NULL OR {there} < excluded.{columns[newer]}"
    return statements_on(db).run(statement, row) > 0


def _json(result: Any) -> str:
    try:
        return _any.dump_json(result).decode()
    except ValueError as error:
        raise StreamsError(
            f"what the work returned can't be kept: {error}; return what JSON can carry, or None"
        ) from error
