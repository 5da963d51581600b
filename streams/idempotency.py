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

import re
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar

import orjson
from pydantic import TypeAdapter

from streams.errors import StreamsError

__all__ = ["Once", "upsert"]

T = TypeVar("T")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_MISSING: Final = re.compile(r"no such table|relation .* does not exist|UndefinedTable")
_any: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class Once:
    """Remembers what was done in a table of your database; `table` may be `schema.table`.

    If two transactions have the same key at a time, the second one waits for the end of the first:
    after a commit it is not the first time, after a rollback it is. (SQLite lets one transaction
    write at a time: the second waits for as long as its `timeout` says.)
    """

    def __init__(self, table: str = "streams_once") -> None:
        self._table = _quoted(table)
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
        _statements(db).run(self.ddl, {})

    def first_time(self, db: Any, key: str) -> bool:
        """Whether nobody has recorded this key; it is recorded now, if the transaction commits.

        Raises:
            StreamsError: the table is not there, or no transaction would hold the effect as well.
            TypeError: `db` is no connection of a kind that is known here.
        """
        statements = _statements(db)
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
            StreamsError: see `first_time`.
        """
        statements = _statements(db)
        if self.first_time(db, key):
            kept = _any.dump_json(work()).decode()
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
        result: T = orjson.loads(kept)
        return result

    def forget(self, db: Any, older_than: timedelta) -> int:
        """Delete what was recorded longer ago than that; how many there were.

        A job can't run again once its `unique_for` is over and its dead letter is gone: keep keys
        for longer than both.
        """
        limit = int((time.time() - older_than.total_seconds()) * 1000)
        return self._run(
            _statements(db), f"DELETE FROM {self._table} WHERE done_at < :limit", {"limit": limit}
        )

    def _run(self, statements: _Statements, statement: str, values: Mapping[str, Any]) -> int:
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
    is: what runs again late does not bring back the past. False if it stayed.

    Raises:
        ValueError: a name is none that can be quoted, or `newer` is no column of `values`.
        TypeError: `db` is no connection of a kind that is known here.
    """
    if newer is not None and newer not in values:
        raise ValueError(f"newer={newer!r} is not among the values: {', '.join(values)}")
    row = {**key, **values}
    name = _quoted(table)
    columns = {column: _quoted(column) for column in row}
    changes = ", ".join(f"{columns[each]} = excluded.{columns[each]}" for each in values)
    statement = (
        f"INSERT INTO {name} ({', '.join(columns.values())}) "
        f"VALUES ({', '.join(f':{column}' for column in row)}) "
        f"ON CONFLICT ({', '.join(columns[each] for each in key)}) "
    )
    statement += f"DO UPDATE SET {changes}" if changes else "DO NOTHING"
    if newer is not None:
        statement += f" WHERE {name}.{columns[newer]} < excluded.{columns[newer]}"
    return _statements(db).run(statement, row) > 0


def _quoted(name: str) -> str:
    parts = name.split(".")
    if not all(_NAME.fullmatch(part) for part in parts):
        raise ValueError(f"{name!r}: use letters, digits and underscores, as in schema.table")
    return ".".join(f'"{part}"' for part in parts)


class _Statements(Protocol):
    """What is needed of a database, whatever is connected to it; values are `:named`."""

    def run(self, statement: str, values: Mapping[str, Any]) -> int:
        """How many rows it changed."""
        ...

    def one(self, statement: str, values: Mapping[str, Any]) -> Any:
        """The first row, or None."""
        ...

    def require_transaction(self) -> None:
        """Nothing, unless each statement would be committed by itself."""
        ...


_AUTOCOMMIT: Final = (
    "this connection commits each statement by itself, so that the record could be there without "
    "the effect: begin a transaction around both, as in `with engine.begin() as db:`"
)


def _statements(db: Any) -> _Statements:
    module = type(db).__module__.partition(".")[0]
    if module == "sqlalchemy":
        if hasattr(db, "run_sync"):
            raise TypeError(
                "this connection is asynchronous: write `await db.run_sync(once.first_time, key)`"
            )
        return _SqlAlchemy(db.connection() if hasattr(db, "get_bind") else db)
    if module == "sqlite3":
        return _Sqlite(db)
    if module in ("psycopg", "psycopg2") and hasattr(db, "cursor"):
        if "Async" in type(db).__name__:
            raise TypeError(f"{type(db).__name__} is asynchronous: use SQLAlchemy's with run_sync")
        return _Psycopg(db)
    raise TypeError(
        f"{type(db).__module__}.{type(db).__qualname__} is no connection of SQLAlchemy, psycopg or "
        "sqlite3"
    )


class _SqlAlchemy:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        if connection.dialect.name not in ("postgresql", "sqlite"):
            raise TypeError(f"{connection.dialect.name}: only PostgreSQL and SQLite are known here")

    def run(self, statement: str, values: Mapping[str, Any]) -> int:
        return int(self._execute(statement, values).rowcount)

    def one(self, statement: str, values: Mapping[str, Any]) -> Any:
        return self._execute(statement, values).first()

    def _execute(self, statement: str, values: Mapping[str, Any]) -> Any:
        from sqlalchemy import text

        return self._connection.execute(text(statement), dict(values))

    def require_transaction(self) -> None:
        if self._connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            raise StreamsError(_AUTOCOMMIT)
        if getattr(self._connection.connection.driver_connection, "autocommit", None) is True:
            raise StreamsError(_AUTOCOMMIT)


class _Sqlite:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str, values: Mapping[str, Any]) -> int:
        return int(self._connection.execute(statement, dict(values)).rowcount)

    def one(self, statement: str, values: Mapping[str, Any]) -> Any:
        return self._connection.execute(statement, dict(values)).fetchone()

    def require_transaction(self) -> None:
        # By default a transaction begins with the first statement that changes something.
        begins = self._connection.isolation_level is not None
        begins = begins and getattr(self._connection, "autocommit", None) is not True
        if not begins and not self._connection.in_transaction:
            raise StreamsError(_AUTOCOMMIT)


class _Psycopg:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str, values: Mapping[str, Any]) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(_pyformat(statement), dict(values))
            return int(cursor.rowcount)

    def one(self, statement: str, values: Mapping[str, Any]) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(_pyformat(statement), dict(values))
            return cursor.fetchone()

    def require_transaction(self) -> None:
        idle = 0  # libpq's PQTRANS_IDLE: within `connection.transaction()` it is another one
        if self._connection.autocommit and self._connection.info.transaction_status == idle:
            raise StreamsError(_AUTOCOMMIT)


def _pyformat(statement: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", statement)
