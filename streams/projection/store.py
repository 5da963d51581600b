"""The file: batches go in with the offsets that they reach to, in one transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import orjson

from streams.projection.asked import keep_asked
from streams.projection.batch import Batch, Identity, Place, Told
from streams.projection.connecting import connect
from streams.projection.hashes import bare, hash_of, hash_of_id
from streams.projection.job_rows import read_rows, rows_with, write_rows
from streams.projection.letters import keep_letters
from streams.projection.retention import Floors, Retention, floors, forget
from streams.projection.row import PAST, REMOVED, Row
from streams.projection.schema import TABLES, VERSION
from streams.projection.states import CODES, DEAD, FIRST_OVER
from streams.wire.outline import Seen, Sent

SLOT_MS: Final = 10_000
AT_ONCE: Final = 5_000  # rows in one sweep
_RETRYING: Final = CODES["retrying"]

Commits = Mapping[tuple[str, int], int]
"""By queue and partition: what is before is settled or taken over."""


class Store:
    """The one that writes. Another process must not: see `open_store`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.kinds: dict[tuple[str, str], int] = {}
        self.errors: dict[str, int] = {}
        self.commits: dict[tuple[str, int], int] = {}
        self._obeyed: dict[tuple[str, int], int] = {}
        self._next = 1
        (version,) = db.execute("pragma user_version").fetchone()
        if version == 0:
            db.executescript(f"begin; {TABLES} pragma user_version = {VERSION}; commit;")
        self._read()

    def _read(self) -> None:
        """Know what the file has."""
        db = self._db
        self.kinds = {
            (q, n): kind for kind, q, n in db.execute("select kind, queue, name from kinds")
        }
        self.errors = {
            type_: error for error, type_ in db.execute("select error, type from errors")
        }
        self.commits = {
            (queue, partition): position
            for queue, partition, position in db.execute("select * from commits")
        }
        self._obeyed = {
            (queue, partition): position
            for queue, partition, position in db.execute("select * from obeyed")
        }
        (last,) = db.execute("select max(n) from jobs").fetchone()
        self._next = (last or 0) + 1

    def places(self) -> dict[tuple[str, int], Place]:
        """Up to where everything is in it."""
        return {
            (topic, partition): Place(position, epoch)
            for topic, partition, position, epoch in self._db.execute("select * from places")
        }

    def note(self, name: str, value: str) -> None:
        """Keep something about the file."""
        self._db.execute("insert or replace into meta values (?, ?)", (name, value))

    def noted(self, name: str) -> str | None:
        """What was kept so."""
        row = self._db.execute("select value from meta where name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def apply(self, batch: Batch) -> list[Row]:
        """Write what a batch says; the rows that changed."""
        with self._writing():
            rows = self._merge(batch)
            keep_letters(self._db, batch.letters)
            self._keep_asked(batch)
            self._keep_places(batch)
        return rows

    def sweep(self, commits: Commits, *, limit: int = AT_ONCE) -> list[Row]:
        """Note what is over without a record; the rows that changed, about `limit` at most.

        To be called with commits of queues' state, once their ledgers have been read to an end
        that was asked for after these commits were read: nothing of them can be there then.
        """
        ready = orjson.dumps([[*place, commit] for place, commit in commits.items()]).decode()
        rows = {row.n: row for row in self._past(ready, limit)}
        queues = {kind: queue for (queue, _), kind in self.kinds.items()}
        counts: Counter[tuple[int, int]] = Counter()
        for row in rows.values():
            counts[row.kind, row.state] -= 1
            if row.sent_offset < commits[queues[row.kind], row.partition]:
                row.sent_is_past = 1
            if row.entry == REMOVED:
                row.entry = PAST
            row.conclude()
            counts[row.kind, row.state] += 1
        if rows:
            with self._writing():
                write_rows(self._db, list(rows.values()))
                self._count(counts)
        return list(rows.values())

    def _past(self, ready: str, limit: int) -> Iterator[Row]:
        """Those that the queue has as waiting before its commit, and those without their entry."""
        its = (
            "(select json_extract(value, '$[0]') as queue, json_extract(value, '$[1]') as number, "
            "json_extract(value, '$[2]') as position from json_each(?)) as ready "
            "cross join kinds on kinds.queue = ready.queue "
            "cross join jobs indexed by {} "
            "on jobs.kind = kinds.kind and jobs.partition = ready.number "
        )
        yield from read_rows(
            self._db,
            its.format("jobs_unsettled") + "and sent_offset < ready.position "
            "where state <= 1 and sent_time > seen_time limit ?",
            (ready, limit),
        )
        yield from read_rows(
            self._db, its.format("jobs_removed") + "where entry = 1 limit ?", (ready, limit)
        )

    def forget(
        self, retention: Retention, now: int, queues: Iterable[str], *, limit: int
    ) -> tuple[Floors, int]:
        """Delete some of what nobody needs; from when on jobs are listed, and how many it were."""
        lowest = floors(self._db, retention, now)
        with self._writing():
            return lowest, forget(self._db, lowest, now, queues, limit=limit)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All of it, or nothing: then the store knows nothing of it either."""
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            self._read()
            raise

    def _merge(self, batch: Batch) -> list[Row]:
        kinds = {(i.queue, i.name) for i in batch.told}
        for kind in sorted(kinds - self.kinds.keys()):
            self._number_kind(kind)
        hashes = {identity: hash_of_id(identity.id) for identity in batch.told}
        found = self._find(hashes)
        counts: Counter[tuple[int, int]] = Counter()
        ends: Counter[tuple[int, int, int, int]] = Counter()
        rows = []
        for identity, (partition, told) in batch.told.items():
            row = found.get(identity)
            if row is None:
                row = self._begin(identity, hashes[identity], partition, told)
                if row is None:
                    continue
            else:
                counts[row.kind, row.state] -= 1
            self._take(row, told, ends)
            row.conclude()
            counts[row.kind, row.state] += 1
            rows.append(row)
        write_rows(self._db, rows)
        self._count(counts)
        self._db.executemany(
            "insert into ends values (?, ?, ?, ?, ?) on conflict do update "
            "set number = number + excluded.number",
            [(*key, number) for key, number in ends.items()],
        )
        return rows

    def _begin(
        self, identity: Identity, hash: int, partition: int, told: Iterable[Told]
    ) -> Row | None:
        """A row for a job that has none yet; what was removed before it was seen needs none."""
        if all(each.what is None for each in told):
            return None
        key = identity.key
        row = Row(
            hash,
            self.kinds[identity.queue, identity.name],
            partition,
            identity.id,
            key,
            None if key is None else _hash_of_key(key),
        )
        row.n = self._next
        self._next += 1
        return row

    def _take(
        self, row: Row, told: Iterable[Told], ends: Counter[tuple[int, int, int, int]]
    ) -> None:
        for source, offset, what in told:
            if isinstance(what, Sent):
                row.take_sent(what, offset)
            elif isinstance(what, Seen):
                error = None if what.error is None else self._error(what.error)
                before = (row.generation, row.run, row.seen_state)
                if row.take_seen(what, source, offset, error):
                    state = row.seen_state
                    is_end = state >= FIRST_OVER or state in (DEAD, _RETRYING)
                    if is_end and (row.generation, row.run, state) != before:
                        ends[row.since // SLOT_MS, row.kind, state, error or 0] += 1
            else:
                row.take_removal(source)

    def _find(self, hashes: Mapping[Identity, int]) -> dict[Identity, Row]:
        names = {number: kind for kind, number in self.kinds.items()}
        found = {}
        for row in rows_with(self._db, {*hashes.values()}):
            queue, name = names[row.kind]
            identity = Identity(queue, name, row.key, row.id)
            if identity in hashes:
                found[identity] = row
        return found

    def _number_kind(self, kind: tuple[str, str]) -> None:
        cursor = self._db.execute("insert into kinds (queue, name) values (?, ?)", kind)
        assert cursor.lastrowid is not None
        self.kinds[kind] = cursor.lastrowid

    def _error(self, type_: str) -> int:
        number = self.errors.get(type_)
        if number is None:
            cursor = self._db.execute("insert into errors (type) values (?)", (type_,))
            assert cursor.lastrowid is not None
            number = self.errors[type_] = cursor.lastrowid
        return number

    def _count(self, changes: Counter[tuple[int, int]]) -> None:
        self._db.executemany(
            "insert into counts values (?, ?, ?) on conflict do update "
            "set number = number + excluded.number",
            [(*key, number) for key, number in changes.items() if number],
        )

    def _keep_asked(self, batch: Batch) -> None:
        self._obeyed.update(batch.obeyed)
        keep_asked(self._db, batch.asked, self._obeyed, batch.obeyed)
        self._db.executemany(
            "insert or replace into obeyed values (?, ?, ?)",
            [(*of, position) for of, position in batch.obeyed.items()],
        )

    def _keep_places(self, batch: Batch) -> None:
        self.commits.update(batch.commits)
        self._db.executemany(
            "insert or replace into places values (?, ?, ?, ?)",
            [(*key, *place) for key, place in batch.places.items()],
        )
        self._db.executemany(
            "insert or replace into commits values (?, ?, ?)",
            [(*key, position) for key, position in batch.commits.items()],
        )


@lru_cache(maxsize=16_384)  # many jobs have one
def _hash_of_key(key: str) -> int:
    return hash_of(bare(key))


__all__ = ["SLOT_MS", "Commits", "Store", "connect"]
