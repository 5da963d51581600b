"""Statements on a connection of the application's own: SQLAlchemy's, psycopg's or sqlite3's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from streams.errors import StreamsError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_AUTOCOMMIT: Final = (
    "this connection commits each statement by itself, so that the record could be there without "
    "the effect: take one without AUTOCOMMIT, and begin a transaction around both, as in "
    "`with engine.begin() as db:`"
)


def quoted_table(name: str) -> str:
    """A table's name, or `schema.table`, as it is written in a statement.

    Raises:
        ValueError: it is none that can be quoted.
    """
    parts = name.split(".")
    if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
        raise ValueError(f"{name!r}: use letters, digits and underscores, as in schema.table")
    return ".".join(f'"{part}"' for part in parts)


def quoted_column(name: str) -> str:
    """Likewise, of a column.

    Raises:
        ValueError: it is none that can be quoted.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"column {name!r}: use letters, digits and underscores")
    return f'"{name}"'


class Statements(Protocol):
    """What is needed of a database, whatever is connected to it; values are `:named`."""

    def run(self, statement: str, values: Mapping[str, Any]) -> int:
        """How many rows it changed."""
        ...

    def one(self, statement: str, values: Mapping[str, Any]) -> Any:
        """The first row, as a tuple, or None."""
        ...

    def require_transaction(self) -> None:
        """Nothing, unless each statement would be committed by itself.

        Raises:
            StreamsError: it would; the message says how to begin a transaction.
        """
        ...


def statements_on(db: Any) -> Statements:
    """Statements on a connection, or on a session of SQLAlchemy.

    Raises:
        TypeError: it is none of a kind that is known here, or it is asynchronous.
    """
    # Subclasses count as what they are of: a session of SQLModel is one of SQLAlchemy.
    modules = {each.__module__.partition(".")[0] for each in type(db).__mro__}
    if "sqlalchemy" in modules and hasattr(db, "run_sync"):
        raise TypeError(
            "this connection is asynchronous: write `await db.run_sync(once.first_time, key)`"
        )
    if "sqlalchemy" in modules and hasattr(db, "execute"):
        return _SqlAlchemy(db.connection() if hasattr(db, "get_bind") else db)
    if "sqlite3" in modules and hasattr(db, "cursor"):
        return _Sqlite(db)
    if "psycopg" in modules and hasattr(db, "cursor"):
        if any("Async" in each.__name__ for each in type(db).__mro__):
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
        pooled = self._connection.connection
        if self._connection.dialect.name == "sqlite":
            # An engine may have a BEGIN of its own, which comes with its first statement.
            if not _begins_by_itself(pooled.driver_connection):
                self._connection.exec_driver_sql("SELECT 1")
            _require_transaction_of_sqlite(pooled.driver_connection)
            return
        # The driver's own says it for psycopg, SQLAlchemy's wrapper for asyncpg.
        for driver in (pooled.driver_connection, pooled.dbapi_connection):
            if getattr(driver, "autocommit", None) is True:
                raise StreamsError(_AUTOCOMMIT)


class _Sqlite:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str, values: Mapping[str, Any]) -> int:
        return int(self._connection.execute(statement, dict(values)).rowcount)

    def one(self, statement: str, values: Mapping[str, Any]) -> Any:
        cursor = self._connection.cursor()
        cursor.row_factory = None  # whatever the connection makes of its rows
        return cursor.execute(statement, dict(values)).fetchone()

    def require_transaction(self) -> None:
        _require_transaction_of_sqlite(self._connection)


def _require_transaction_of_sqlite(connection: Any) -> None:
    if not _begins_by_itself(connection) and not connection.in_transaction:
        raise StreamsError(_AUTOCOMMIT)


def _begins_by_itself(connection: Any) -> bool:
    # By default a transaction begins with the first statement that changes something.
    committing = getattr(connection, "autocommit", None)
    if isinstance(committing, bool):  # since Python 3.12, and then it is what counts
        return not committing
    return connection.isolation_level is not None


class _Psycopg:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str, values: Mapping[str, Any]) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(_pyformat(statement), dict(values))
            return int(cursor.rowcount)

    def one(self, statement: str, values: Mapping[str, Any]) -> Any:
        from psycopg.rows import tuple_row

        with self._connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(_pyformat(statement), dict(values))
            return cursor.fetchone()

    def require_transaction(self) -> None:
        idle = 0  # libpq's PQTRANS_IDLE: within `connection.transaction()` it is another one
        if self._connection.autocommit and self._connection.info.transaction_status == idle:
            raise StreamsError(_AUTOCOMMIT)


def _pyformat(statement: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", statement)
