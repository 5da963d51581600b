"""Connections as applications set them up: rows of their own, subclasses, and who commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

from streams.errors import StreamsError
from streams.idempotency import Once

once = Once()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "once.db"
    with closing(sqlite3.connect(path)) as db, db:
        once.create(db)
    return path


@pytest.fixture
def engine(path: Path) -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(**options: Any) -> Engine:
        made.append(create_engine(f"sqlite:///{path}", **options))
        return made[-1]

    yield make
    for each in made:
        each.dispose()


def keys(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [key for (key,) in db.execute("SELECT key FROM streams_once")]


@pytest.mark.parametrize(
    "options",
    [{"isolation_level": "AUTOCOMMIT"}, {"connect_args": {"isolation_level": None}}],
    ids=["of the engine", "of the driver"],
)
def test_an_engine_that_commits_each_statement_is_refused(
    engine: Callable[..., Engine], path: Path, options: dict[str, Any]
) -> None:
    with engine(**options).begin() as db, pytest.raises(StreamsError, match="without AUTOCOMMIT"):
        once.first_time(db, "a")
    assert keys(path) == []


def test_an_engine_that_begins_by_a_statement_of_its_own_is_taken(
    engine: Callable[..., Engine], path: Path
) -> None:
    own = engine(connect_args={"isolation_level": None})

    @event.listens_for(own, "begin")
    def begin(db: Connection) -> None:
        db.exec_driver_sql("BEGIN IMMEDIATE")

    for connect in (own.begin, own.connect):
        with connect() as db:
            assert once.first_time(db, "a")
            db.rollback()
    assert keys(path) == []
    with own.begin() as db:
        assert once.first_time(db, "a")
    assert keys(path) == ["a"]


def test_rows_may_be_anything(path: Path, postgres: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.row_factory = lambda cursor, row: {"row": row}
        assert [once.run(db, "a", lambda: 1) for _ in range(2)] == [1, 1]
    with psycopg.connect(postgres, row_factory=dict_row) as db:
        once.create(db)
        assert [once.run(db, "a", lambda: 1) for _ in range(2)] == [1, 1]


def test_subclasses_are_what_they_are_of(
    engine: Callable[..., Engine], path: Path, postgres: str
) -> None:
    class OwnSession(Session):
        pass

    class OwnSqlite(sqlite3.Connection):
        pass

    class OwnPsycopg(psycopg.Connection[Any]):
        pass

    with OwnSession(engine()) as session, session.begin():
        assert once.first_time(session, "a")
    with closing(sqlite3.connect(path, factory=OwnSqlite)) as db, db:
        assert not once.first_time(db, "a")
    with OwnPsycopg.connect(postgres) as connection:
        once.create(connection)
        assert once.first_time(connection, "a")


def test_what_has_no_transactions_of_its_own_is_refused(
    engine: Callable[..., Engine], path: Path
) -> None:
    with closing(sqlite3.connect(path)) as db:
        for wrong in (engine(), db.cursor()):
            with pytest.raises(TypeError, match="is no connection of SQLAlchemy, psycopg or"):
                once.first_time(wrong, "a")
