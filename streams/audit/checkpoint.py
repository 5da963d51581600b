"""Up to where the last audit has read, what it counted, and what was not over by then: on disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Self

from streams.audit.since import Row, Since
from streams.audit.tally import Tally
from streams.errors import SettingsError

VERSION = 2

_TABLES = """
CREATE TABLE places (
    queue TEXT, partition INTEGER, since TEXT, tally TEXT, PRIMARY KEY (queue, partition)
);
CREATE TABLE rows (
    queue TEXT, partition INTEGER, is_next INTEGER,
    state TEXT, key BLOB, time INTEGER, generation INTEGER, run INTEGER, has_letter INTEGER,
    offset INTEGER, sent INTEGER, target INTEGER, entry_at INTEGER, due INTEGER
);
CREATE INDEX by_place ON rows (queue, partition, is_next);
"""


class Checkpoint:
    """A SQLite file; partition by partition it is of one audit or of the next, as a whole."""

    def __init__(self, path: Path | None, prefix: str) -> None:
        """A path of None: in memory, of nothing.

        Raises:
            SettingsError: the file is something else, or of another prefix.
        """
        self.folder = None if path is None else path.parent  # for what does not fit into memory
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        try:
            self._open(prefix)
        except sqlite3.DatabaseError as error:
            raise SettingsError(
                f"{path} is no checkpoint of an audit ({error}): name another file"
            ) from None

    def _open(self, prefix: str) -> None:
        db = self._db
        found = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if not found:
            db.executescript(_TABLES + "CREATE TABLE of (version INTEGER, prefix TEXT)")
            db.execute("INSERT INTO of VALUES (?, ?)", (VERSION, prefix))
        of = db.execute("SELECT version, prefix FROM of").fetchone()
        if of != (VERSION, prefix):
            raise SettingsError(
                f"the checkpoint is of the prefix {of[1]!r} and version {of[0]}, this audit of "
                f"{prefix!r} and {VERSION}: name another file"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def count(self, queue: str, partition: int) -> int:
        """How much was not over."""
        found = self._db.execute(
            "SELECT COUNT(*) FROM rows WHERE queue = ? AND partition = ? AND NOT is_next",
            (queue, partition),
        ).fetchone()
        return int(found[0])

    def forget(self) -> None:
        """Begin anew."""
        self._db.executescript("DELETE FROM places; DELETE FROM rows")

    def since(self, queue: str, partition: int) -> Since | None:
        """Where to go on in a partition; None: at its beginning."""
        row = self._db.execute(
            "SELECT since, tally FROM places WHERE queue = ? AND partition = ?", (queue, partition)
        ).fetchone()
        if row is None:
            return None
        told = json.loads(row[0])
        marks = tuple((timestamp, offset) for timestamp, offset in told.pop("marks"))
        return Since(**told, marks=marks, tally=Tally(**json.loads(row[1])))

    def rows(self, queue: str, partition: int) -> Iterator[Row]:
        """What was not over."""
        for row in self._db.execute(
            "SELECT state, key, time, generation, run, has_letter, offset, sent, target, entry_at, "
            "due FROM rows WHERE queue = ? AND partition = ? AND NOT is_next",
            (queue, partition),
        ):
            state, key, time, generation, run, has_letter, offset, sent, to, entry_at, due = row
            yield Row(
                state=state,
                key=key,
                time=time,
                generation=generation,
                run=run,
                has_letter=bool(has_letter),
                offset=offset,
                sent=sent,
                to=to,
                entry_at=entry_at,
                due=due,
            )

    def begin(self) -> None:
        """What follows holds once it is `keep`t."""
        self._db.execute("BEGIN")

    def add(self, queue: str, partition: int, rows: Iterable[Row]) -> None:
        """What is not over now."""
        self._db.executemany(
            "INSERT INTO rows VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((queue, partition, *astuple(row)) for row in rows),
        )

    def keep(self, queue: str, partition: int, since: Since) -> None:
        """The next audit goes on from there."""
        told = {name: getattr(since, name) for name in _TOLD}
        tally = {n: getattr(since.tally, n) for n in Tally.__slots__ if n != "pending"}
        place, db = (queue, partition), self._db
        db.execute("DELETE FROM rows WHERE queue = ? AND partition = ? AND NOT is_next", place)
        db.execute("UPDATE rows SET is_next = 0 WHERE queue = ? AND partition = ?", place)
        db.execute(
            "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)",
            (*place, json.dumps(told), json.dumps(tally)),
        )
        db.execute("COMMIT")

    def drop(self) -> None:
        """It stays where it was."""
        self._db.execute("ROLLBACK")


_TOLD = tuple(name for name in Since.__dataclass_fields__ if name != "tally")
