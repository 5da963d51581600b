"""Once and upsert, on SQLite and on a real PostgreSQL, through every kind of connection."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from streams.errors import StreamsError
from streams.idempotency import Once, upsert

once = Once()


@dataclass(frozen=True)
class Database:
    """`begin` gives a connection within a transaction, `autocommit` one without."""

    begin: Callable[[], AbstractContextManager[Any]]
    autocommit: Callable[[], AbstractContextManager[Any]]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.begin() as db:
            statement: Any = text(query) if hasattr(db, "dialect") or _is_session(db) else query
            return [tuple(row) for row in db.execute(statement).fetchall()]

    def execute(self, statement: str) -> None:
        with self.begin() as db:
            wrapped: Any = (
                text(statement) if hasattr(db, "dialect") or _is_session(db) else statement
            )
            db.execute(wrapped)


def _is_session(db: Any) -> bool:
    return isinstance(db, Session)


@contextmanager
def _sqlite(path: Path, **options: Any) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path, **options)
    try:
        with db:
            yield db
    finally:
        db.close()


@contextmanager
def _session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session, session.begin():
        yield session


@pytest.fixture(params=["sqlite3", "sqlalchemy-sqlite", "psycopg", "sqlalchemy-pg", "session-pg"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    path = tmp_path / "once.db"
    kind: str = request.param
    if kind == "sqlite3":
        return Database(lambda: _sqlite(path), lambda: _sqlite(path, isolation_level=None))
    if kind == "sqlalchemy-sqlite":
        engine = create_engine(f"sqlite:///{path}")
        own = engine.execution_options(isolation_level="AUTOCOMMIT")
        return Database(engine.begin, own.connect)
    uri: str = request.getfixturevalue("postgres")
    if kind == "psycopg":
        return Database(lambda: psycopg.connect(uri), lambda: psycopg.connect(uri, autocommit=True))
    engine = create_engine(_for_sqlalchemy(uri))
    own = engine.execution_options(isolation_level="AUTOCOMMIT")
    if kind == "session-pg":
        return Database(lambda: _session(engine), own.connect)
    return Database(engine.begin, own.connect)


def _for_sqlalchemy(uri: str) -> str:
    return uri.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture
def ready(database: Database) -> Database:
    with database.begin() as db:
        once.create(db)
        once.create(db)  # as often as one likes
    return database


def test_a_key_is_new_once(ready: Database) -> None:
    with ready.begin() as db:
        assert once.first_time(db, "a")
        assert not once.first_time(db, "a")
        assert once.first_time(db, "b")
    with ready.begin() as db:
        assert not once.first_time(db, "a")
    assert ready.rows("SELECT key FROM streams_once ORDER BY key") == [("a",), ("b",)]


def test_a_rollback_forgets_the_key_with_the_effect(ready: Database) -> None:
    with pytest.raises(RuntimeError), ready.begin() as db:
        assert once.first_time(db, "a")
        raise RuntimeError("the effect failed")
    with ready.begin() as db:
        assert once.first_time(db, "a")


def test_run_gives_back_what_the_first_run_returned(ready: Database) -> None:
    calls: list[int] = []

    def work() -> dict[str, Any]:
        calls.append(1)
        return {"cents": 7, "at": timedelta(seconds=1), "who": ("ada", "bob")}

    found = []
    for _ in range(3):
        with ready.begin() as db:
            found.append(once.run(db, "a", work))
    assert found == [{"cents": 7, "at": "PT1S", "who": ["ada", "bob"]}] * 3
    assert len(calls) == 1
    with ready.begin() as db:
        assert once.first_time(db, "b")
        assert once.run(db, "b", work) is None  # it was recorded without a result


def test_what_fails_in_run_is_done_again(ready: Database) -> None:
    def fails() -> None:
        raise OSError("not now")

    with pytest.raises(OSError), ready.begin() as db:
        once.run(db, "a", fails)
    with ready.begin() as db:
        assert once.run(db, "a", lambda: 1) == 1


@pytest.mark.parametrize("commits", [True, False])
def test_a_second_transaction_waits_for_the_end_of_the_first(
    ready: Database, commits: bool
) -> None:
    told: list[bool] = []
    waits = threading.Event()

    def second() -> None:
        with ready.begin() as db:
            waits.set()
            told.append(once.first_time(db, "a"))

    thread = threading.Thread(target=second)
    try:
        with ready.begin() as db:
            assert once.first_time(db, "a")
            thread.start()
            assert waits.wait(5)
            thread.join(0.3)  # time enough to answer, if it did not wait
            assert not told
            if not commits:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    thread.join(10)
    assert told == [not commits]


def test_a_connection_that_commits_each_statement_is_refused(ready: Database) -> None:
    with ready.autocommit() as db, pytest.raises(StreamsError, match="commits each statement"):
        once.first_time(db, "a")
    assert ready.rows("SELECT key FROM streams_once") == []


def test_a_missing_table_is_told_with_its_remedy(database: Database) -> None:
    told = r"no table streams_once: .*Once\('streams_once'\)\.ddl"
    with pytest.raises(StreamsError, match=told), database.begin() as db:
        once.first_time(db, "a")


def test_old_keys_are_forgotten(ready: Database) -> None:
    with ready.begin() as db:
        once.first_time(db, "a")
        assert once.forget(db, timedelta(days=1)) == 0
    ready.execute("UPDATE streams_once SET done_at = done_at - 90000000")
    with ready.begin() as db:
        once.first_time(db, "b")
        assert once.forget(db, timedelta(days=1)) == 1
        assert once.first_time(db, "a")
        assert not once.first_time(db, "b")


def test_upsert_writes_a_row_whether_it_is_there_or_not(database: Database) -> None:
    database.execute("CREATE TABLE prices (shop TEXT, item TEXT, cents INT, at INT, "
                     "PRIMARY KEY (shop, item))")  # fmt: skip
    key = {"shop": "s", "item": "i"}
    for cents, at, written in ((5, 1, True), (6, 2, True), (6, 2, False), (4, 1, False)):
        with database.begin() as db:
            assert upsert(db, "prices", key, {"cents": cents, "at": at}, newer="at") is written
    assert database.rows("SELECT cents, at FROM prices") == [(6, 2)]
    with database.begin() as db:
        assert upsert(db, "prices", key, {"cents": 1})
        assert not upsert(db, "prices", key, {})
    assert database.rows("SELECT cents, at FROM prices") == [(1, 2)]


def test_a_row_without_a_time_is_older_than_any(database: Database) -> None:
    database.execute("CREATE TABLE prices (item TEXT PRIMARY KEY, cents INT, at INT)")
    database.execute("INSERT INTO prices (item, cents) VALUES ('i', 1)")
    with database.begin() as db:
        assert upsert(db, "prices", {"item": "i"}, {"cents": 2, "at": 5}, newer="at")
    assert database.rows("SELECT cents, at FROM prices") == [(2, 5)]


def test_what_can_not_be_kept_is_told_and_leaves_nothing(ready: Database) -> None:
    told = r"can't be kept: .*object.*; return what JSON can carry"
    with pytest.raises(StreamsError, match=told), ready.begin() as db:
        once.run(db, "a", object)
    assert ready.rows("SELECT key FROM streams_once") == []
    for _ in range(2):
        with ready.begin() as db:
            assert once.run(db, "a", lambda: 2**70) == 2**70


def test_a_snapshot_that_misses_the_first_run_fails_and_does_not_do_it_again(postgres: str) -> None:
    with psycopg.connect(postgres) as db:
        once.create(db)
    with psycopg.connect(postgres) as late:
        late.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        late.execute("SELECT 1")  # its snapshot is taken
        with psycopg.connect(postgres) as db:
            assert once.first_time(db, "a")
        with pytest.raises(psycopg.errors.SerializationFailure):
            once.first_time(late, "a")
        late.rollback()
        assert not once.first_time(late, "a")


def test_in_sqlite_whoever_has_read_can_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "once.db"
    with _sqlite(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        once.create(db)
    for begin, waits in (("BEGIN", False), ("BEGIN IMMEDIATE", True)):
        with _sqlite(path, isolation_level=None, check_same_thread=False) as first:
            first.execute(begin)
            first.execute("SELECT * FROM streams_once").fetchall()
            begun, told = threading.Event(), list[bool]()

            def other(
                key: str = begin, begun: threading.Event = begun, told: list[bool] = told
            ) -> None:
                with _sqlite(path) as db:
                    begun.set()
                    told.append(once.first_time(db, key))

            thread = threading.Thread(target=other)
            thread.start()
            assert begun.wait(5)
            if waits:
                assert once.first_time(first, "a")
                assert not told  # it waits for its turn
                first.execute("COMMIT")
            else:
                thread.join(10)
                with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                    once.first_time(first, "a")
                first.execute("ROLLBACK")
            thread.join(10)
            assert told == [True]


async def test_asynchronous_connections_use_run_sync(postgres: str) -> None:
    engine = create_async_engine(_for_sqlalchemy(postgres))
    async with engine.begin() as db:
        await db.run_sync(once.create)
        first, second = [await db.run_sync(once.first_time, "a") for _ in range(2)]
        assert (first, second) == (True, False)
        with pytest.raises(TypeError, match=r"write `await db\.run_sync"):
            once.first_time(db, "a")
    await engine.dispose()


async def test_psycopg_in_its_own_transaction_blocks(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as db:
        once.create(db)
        with db.transaction():
            assert once.first_time(db, "a")
    connection = await psycopg.AsyncConnection.connect(postgres)
    async with connection:
        with pytest.raises(TypeError, match="is asynchronous: use SQLAlchemy's"):
            once.first_time(connection, "a")
    await asyncio.sleep(0)


def test_what_is_no_connection_and_no_name_is_refused() -> None:
    with pytest.raises(TypeError, match="object is no connection of SQLAlchemy, psycopg or"):
        once.first_time(object(), "a")
    with pytest.raises(ValueError, match="use letters, digits and underscores"):
        Once('granted"; DROP TABLE users; --')
    with pytest.raises(ValueError, match="use letters"):
        upsert(None, "a b", {"id": 1}, {})
    with pytest.raises(ValueError, match="newer='at' is not among the values: cents"):
        upsert(None, "t", {"id": 1}, {"cents": 1}, newer="at")
    with pytest.raises(ValueError, match=r"column 'a\.b': use letters"):
        upsert(None, "t", {"id": 1}, {"a.b": 1})
    with pytest.raises(ValueError, match="no key: name the columns"):
        upsert(None, "t", {}, {"cents": 1})
    with pytest.raises(ValueError, match="id: a column is of the key or of the values"):
        upsert(None, "t", {"id": 1}, {"id": 2})
    for nobodys in ("", None):
        with pytest.raises(ValueError, match=r"nobody's key: give ctx\.idempotency_key"):
            once.first_time(None, nobodys)  # type: ignore[arg-type]
    assert '"app"."done"' in Once("app.done").ddl
