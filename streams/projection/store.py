"""The file: batches go in with the offsets that they reach to, in one transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from streams.projection.batch import Batch, Identity, Place, Told
from streams.projection.retention import Retention, floors, forget
from streams.projection.row import PAST, REMOVED, Row
from streams.projection.schema import TABLES, VERSION
from streams.projection.states import CODES, DEAD, FIRST_OVER
from streams.wire.outline import Seen, Sent

SLOT_MS: Final = 10_000
_RETRYING: Final = CODES["retrying"]
_CACHE_KIB: Final = 48 * 1024
_AT_ONCE: Final = 500  # values in one question

COLUMNS: Final = Row.__slots__
_values = attrgetter(*COLUMNS)
_INSERT: Final = (
    f"insert into jobs ({', '.join(COLUMNS)}) values ({', '.join('?' for _ in COLUMNS)})"
)
# What is not in an update never changes, so that indexes of it need not be looked at.
_FIXED: Final = ("n", "hash", "kind", "partition", "id", "key", "key_hash")
_MOVING: Final = tuple(name for name in COLUMNS if name not in _FIXED)
_UPDATE: Final = f"update jobs set {', '.join(f'{name} = ?' for name in _MOVING)} where n = ?"
_moving = attrgetter(*_MOVING, "n")


def hash_of(text: str) -> int:
    """64 bits of a text, as SQLite can keep them."""
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def bare(key: str) -> str:
    """An ordering key without its scope."""
    return key.partition(":")[2] or key


def read_row(values: Sequence[Any]) -> Row:
    """The row of these columns."""
    row = Row.__new__(Row)
    for name, value in zip(COLUMNS, values, strict=True):
        setattr(row, name, value)
    return row


def connect(path: Path | None, *, is_writer: bool = False) -> sqlite3.Connection:
    """The file of a projection; None: in memory."""
    where = ":memory:" if path is None else str(path)
    db = sqlite3.connect(where, isolation_level=None, check_same_thread=False, timeout=10)
    db.execute(f"pragma cache_size = -{_CACHE_KIB if is_writer else _CACHE_KIB // 6}")
    db.execute("pragma temp_store = memory")
    if is_writer:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = off")  # what is lost is read again
        db.execute("pragma wal_autocheckpoint = 4000")
    else:
        db.execute("pragma query_only = on")
    return db


class Store:
    """The one that writes. Another process must not: see `open_store`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.kinds: dict[tuple[str, str], int] = {}
        self.errors: dict[str, int] = {}
        self.commits: dict[tuple[str, int], int] = {}
        self._next = 1
        self._read()

    def _read(self) -> None:
        db = self._db
        (version,) = db.execute("pragma user_version").fetchone()
        if version == 0:
            db.executescript(f"begin; {TABLES} pragma user_version = {VERSION}; commit;")
        self.kinds = {
            (q, n): kind for kind, q, n in db.execute("select kind, queue, name from kinds")
        }
        self.errors = {
            type_: error for error, type_ in db.execute("select error, type from errors")
        }
        for queue, partition, position in db.execute("select * from commits"):
            self.commits[queue, partition] = position
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
        db = self._db
        db.execute("begin immediate")
        try:
            rows = self._merge(batch)
            self._keep_places(batch)
            db.execute("commit")
        except BaseException:
            db.execute("rollback")
            raise
        return rows

    def _merge(self, batch: Batch) -> list[Row]:
        kinds = {(i.queue, i.name) for i in batch.told}
        for kind in kinds - self.kinds.keys():
            self._number_kind(kind)
        found = self._find(batch.told)
        counts: Counter[tuple[int, int]] = Counter()
        ends: Counter[tuple[int, int, int, int]] = Counter()
        new, changed, rows = [], [], []
        for identity, (partition, told) in batch.told.items():
            row = found.get(identity)
            if row is None:
                row = self._begin(identity, partition, told)
                if row is None:
                    continue
                new.append(row)
            else:
                counts[row.kind, row.state] -= 1
                changed.append(row)
            self._take(row, told, ends)
            row.conclude()
            counts[row.kind, row.state] += 1
            rows.append(row)
        self._db.executemany(_INSERT, map(_values, new))
        self._db.executemany(_UPDATE, map(_moving, changed))
        self._count(counts)
        self._db.executemany(
            "insert into ends values (?, ?, ?, ?, ?) on conflict do update "
            "set number = number + excluded.number",
            [(*key, number) for key, number in ends.items()],
        )
        return rows

    def _begin(self, identity: Identity, partition: int, told: Iterable[Told]) -> Row | None:
        """A row for a job that has none yet; what was removed before it was seen needs none."""
        if all(each.what is None for each in told):
            return None
        key = identity.key
        row = Row(
            hash_of(identity.id),
            self.kinds[identity.queue, identity.name],
            partition,
            identity.id,
            key,
            None if key is None else hash_of(bare(key)),
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
                row.take_removal(source, offset)

    def _find(self, told: dict[Identity, tuple[int, list[Told]]]) -> dict[Identity, Row]:
        hashes = list({hash_of(identity.id) for identity in told})
        names = {number: kind for kind, number in self.kinds.items()}
        found = {}
        for at in range(0, len(hashes), _AT_ONCE):
            some = hashes[at : at + _AT_ONCE]
            marks = ",".join("?" * len(some))
            for values in self._db.execute(
                f"select {', '.join(COLUMNS)} from jobs where hash in ({marks})", some
            ):
                row = read_row(values)
                queue, name = names[row.kind]
                identity = Identity(queue, name, row.key, row.id)
                if identity in told:
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

    def sweep(self, queue: str, partition: int, commit: int, *, limit: int = 5_000) -> int:
        """Note what is over without a record; how many rows were changed.

        To be called with a commit of the queue's state, once its ledger has been read to an end
        that was asked for after that commit was read: nothing of them can be there then.
        """
        kinds = [number for (of, _), number in self.kinds.items() if of == queue]
        rows = [*self._unsettled(kinds, partition, commit, limit), *self._removed(kinds, partition)]
        if not rows:
            return 0
        counts: Counter[tuple[int, int]] = Counter()
        for row in rows:
            counts[row.kind, row.state] -= 1
            if row.sent_offset < commit:
                row.sent_is_past = 1
            if row.entry == REMOVED:
                row.entry = PAST
            row.conclude()
            counts[row.kind, row.state] += 1
        self._db.execute("begin immediate")
        try:
            self._db.executemany(_UPDATE, map(_moving, rows))
            self._count(counts)
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise
        return len(rows)

    def forget(self, retention: Retention, now: int) -> dict[tuple[str, bool], int]:
        """Delete some of what nobody needs; from when on jobs that are over are listed."""
        lowest = floors(self._db, retention, now)
        self._db.execute("begin immediate")
        try:
            forget(self._db, lowest, now)
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise
        return lowest

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _unsettled(
        self, kinds: Sequence[int], partition: int, commit: int, limit: int
    ) -> Iterator[Row]:
        for kind in kinds:
            for values in self._db.execute(
                f"select {', '.join(COLUMNS)} from jobs indexed by jobs_unsettled where kind = ? "
                "and partition = ? and sent_offset < ? and state <= 1 and sent_time > seen_time "
                "limit ?",
                (kind, partition, commit, limit),
            ):
                yield read_row(values)

    def _removed(self, kinds: Sequence[int], partition: int) -> Iterator[Row]:
        for kind in kinds:
            for values in self._db.execute(
                f"select {', '.join(COLUMNS)} from jobs indexed by jobs_removed "
                "where entry = 1 and kind = ? and partition = ?",
                (kind, partition),
            ):
                yield read_row(values)
