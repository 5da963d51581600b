"""A partition's state: the open table with its indexes, the ledger table, and what they reflect."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.single import Single
from streams.wire.state import (
    Head,
    LedgerRecord,
    OpenEntry,
    decode_head,
    decode_ledger,
    decode_open,
    encode_ledger,
    encode_open,
    head_of,
    ledger_single,
)
from streams.worker.counts import PACKED_SIZE, Counts, unpack_counts
from streams.worker.ports import Change, Row, Store
from streams.worker.recent import Kept, Recent
from streams.worker.single_index import SINGLE, Mark, read_mark, rows_until, single_row
from streams.worker.starts import STARTS, start_rows, starts_of
from streams.worker.sums import SUMS, Sums, unpack

OPEN = "open"  # state key -> entry
LEDGER = "ledger"  # state key -> record
DUE = "due"  # due time, state key -> nothing
LANE = "lane"  # lane, whether it only waits, arrival, state key -> nothing; only what blocks
HELD = "held"  # limit, arrival, state key -> nothing
META = "meta"  # names of what was applied -> offset; counts

# Keys of the retry topic that are no jobs: how far commands were obeyed, the queue's commit, and
# that an owner is at work, which it removes when it has drained.
COMMANDS_READ = b"#commands"
COMMITTED = b"#committed"
AT_WORK = b"#at-work"

_COUNTS = b"#counts"
_SEEN = b"#seen"
_RECOVERING = b"#recovering"
_BUILDING = b"#building"
_EPOCH = b"#epoch:"  # of each state topic
# For the disk only: they neither fill memory nor hold anything up.
_UNBOUNDED = frozenset({State.DEAD, State.SCHEDULED, State.SLEEPING})

_number = struct.Struct(">Q")
_length = struct.Struct(">I")


def lane_of(entry: OpenEntry) -> bytes | None:
    """The lane of an entry: its record key, if its job has an ordering key."""
    return None if entry.job.ordering_key is None else entry.record_key


def due_row(due: int, state_key: bytes) -> bytes:
    """The row of an entry in the index by due time."""
    return _number.pack(max(due, 0)) + state_key


def _prefix(name: bytes) -> bytes:
    # With its length in front no name is the beginning of another.
    return _length.pack(len(name)) + name


def held_row(limit: str, arrival: int, state_key: bytes) -> bytes:
    """The row of an entry in the index by the limit that holds it."""
    return _prefix(limit.encode()) + _number.pack(max(arrival, 0)) + state_key


def _lane_row(head: Head, lane: bytes, state_key: bytes) -> bytes:
    # What has started comes before all that waits, whatever its arrival: nothing of a key starts
    # while a started job of it is not over.
    waits = b"\x01" if head.state is State.PARKED else b"\x00"
    return _prefix(lane) + waits + _number.pack(max(head.arrival, 0)) + state_key


class Tables:
    """Typed reads of one store. Whoever changes it asks for a `batch`."""

    def __init__(self, store: Store, key_rates: Mapping[str, int] | None = None) -> None:
        self.store = store
        self.key_rates = key_rates or {}  # windows of the rates of keys in ms, by job name
        self.recent = Recent()
        packed = store.get(META, _COUNTS)
        is_of_now = packed is None or len(packed) == PACKED_SIZE
        if not is_of_now or store.get(META, _BUILDING) is not None:
            self.clear()  # of another version, or a crash has taken a part: its topics have it all
            packed = None
        self.counts = Counts() if packed is None else unpack_counts(packed)
        self.sums = unpack(store.get(META, SUMS), self.counts.entries)

    @property
    def unaccounted(self) -> int:
        """How many more jobs were accepted than are over or open; 0 if all is well."""
        return self.sums.unaccounted(self.counts.entries)

    def told_sums(self) -> dict[str, int]:
        """How many jobs were taken from the queue, and what became of them, by state."""
        dead = self.counts.dead
        return {**self.sums.told(), "dead": dead, "pending": self.counts.entries - dead}

    def open(self, state_key: bytes) -> OpenEntry | None:
        """The entry of a job that is open."""
        kept = self.recent.get(state_key)
        if kept is not None:
            return kept.entry
        if self.all_are_recent:  # the usual case, and it costs nothing
            return None
        value = self.store.get(OPEN, state_key)
        return None if value is None else decode_open(state_key, value)

    def ledger(self, state_key: bytes) -> LedgerRecord | None:
        """The record of a job that is over."""
        value = self.store.get(LEDGER, state_key)
        return None if value is None else decode_ledger(state_key, value)

    @property
    def all_are_recent(self) -> bool:
        """Whether the open table has nothing but recent entries."""
        return len(self.recent) == self.counts.entries

    def is_blocked(self, lane: bytes) -> bool:
        """Whether there is an open job of a lane that others of it wait for."""
        if not self.counts.blocking:  # the usual case, and it costs nothing
            return False
        if self.recent.has_lane(lane):
            return True
        return next(self._lane(lane), None) is not None

    def blockers(self, lane: bytes) -> Iterator[OpenEntry]:
        """The open jobs of a lane that others of it wait for, in the order of their turns."""
        for state_key in self._lane(lane):
            entry = self.open(state_key)
            if entry is not None:
                yield entry

    def _lane(self, lane: bytes) -> Iterator[bytes]:
        if self.recent.blocking == self.counts.blocking:  # they are all there are
            yield from self.recent.lane(lane)
            return
        prefix = _prefix(lane)
        for row, _ in self.store.scan(LANE, prefix, prefix + b"\xff"):
            yield row[len(prefix) + 1 + _number.size :]

    def lane_heads(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(where to go on after it, lane) of each lane with blocking jobs, from `start` on."""
        while True:
            for row, _ in self.store.scan(LANE, start, None):
                (length,) = _length.unpack(row[: _length.size])
                lane = row[_length.size : _length.size + length]
                start = _prefix(lane) + b"\xff"
                break
            else:
                return
            yield start, lane

    def held_by(self, limit: str, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(row, state key) of what a limit holds, in order of arrival, from row `start` on."""
        prefix = _prefix(limit.encode())
        for row, _ in self.store.scan(HELD, max(start, prefix), prefix + b"\xff"):
            yield row, row[len(prefix) + _number.size :]

    def limits(self) -> Iterator[tuple[str, bytes]]:
        """Each limit that holds something, and the state key of the first."""
        start = b""
        while (found := next(iter(self.store.scan(HELD, start, None)), None)) is not None:
            row = found[0]
            (length,) = _length.unpack(row[: _length.size])
            end = _length.size + length
            yield row[_length.size : end].decode(), row[end + _number.size :]
            start = row[:end] + b"\xff"

    def due_from(self, start: bytes, now: int) -> Iterator[tuple[bytes, bytes]]:
        """(row, state key) of what is due by `now`, from row `start` on."""
        for row, _ in self.store.scan(DUE, start, _number.pack(now + 1)):
            yield row, row[_number.size :]

    def next_due(self, start: bytes) -> int | None:
        """The due time of the first row from `start` on."""
        if not self.counts.entries:
            return None
        for row, _ in self.store.scan(DUE, start, None):
            return int(_number.unpack(row[: _number.size])[0])
        return None

    @property
    def may_have_marks(self) -> bool:
        """Whether any job could count for those like it."""
        return bool(self.counts.entries or self.counts.singles_over)

    def marks(self, scope: str, sent: int) -> Iterator[Mark]:
        """Jobs that count for what is like them and was sent then, those that do longest first."""
        if not self.may_have_marks:
            return
        for row, value in self.store.scan(SINGLE, *rows_until(scope, sent)):
            yield read_mark(row, value)

    def entries(self, start: bytes = b"") -> Iterator[OpenEntry]:
        """All open entries, in order of state key, from `start` on."""
        for key, value in self.store.scan(OPEN, start, None):
            yield decode_open(key, value)

    def has_ledger(self) -> bool:
        """Whether anything is in the ledger."""
        return next(iter(self.store.scan(LEDGER, b"", None)), None) is not None

    def applied(self, topic: str) -> int:
        """The offset of `topic` up to which this store reflects it."""
        return self._offset(topic.encode())

    def committed(self) -> int:
        """The commit of the queue that was kept in state; 0 without one."""
        return self._offset(COMMITTED)

    def seen(self) -> int | None:
        """When the store was last known to reflect its topics; None: it is new."""
        value = self.store.get(META, _SEEN)
        return None if value is None else int(value)

    def clear(self) -> None:
        """Forget everything: it is to be rebuilt from its topics.

        If it is cut off, whoever opens the store next does it again: no counts have this size.
        """
        self.store.write([Change(META, _COUNTS, b"")])
        for table in (DUE, LANE, HELD, STARTS, SINGLE, OPEN, LEDGER, META):
            self.store.clear(table)
        self.counts = Counts()
        self.sums = Sums()
        self.recent = Recent()

    def build(self) -> None:
        """Write faster until `be_built`; after a crash in between all is forgotten."""
        self.store.write([Change(META, _BUILDING, b"1")])
        self.store.risk()

    def be_built(self) -> None:
        """What was written since `build` is there to stay."""
        self.store.keep()
        self.store.write([Change(META, _BUILDING, None)])

    def owner_at_work(self) -> bytes | None:
        """The worker that took the partition last, if it has not drained it."""
        return self.store.get(META, AT_WORK)

    def is_being_recovered(self) -> bool:
        """Whether records were applied, and what they leave to do was not done."""
        return self.store.get(META, _RECOVERING) is not None

    def epoch(self, topic: str) -> int:
        """The latest ownership under which the store has seen `topic` written; 0: none."""
        return self._offset(_EPOCH + topic.encode())

    def batch(self) -> Batch:
        """Changes that are written together."""
        return Batch(self)

    def _offset(self, name: bytes) -> int:
        value = self.store.get(META, name)
        return 0 if value is None else int(value)


class Batch:
    """Changes of a partition's tables; `write` applies all of them, or none."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._changes: list[Row] = []
        self._heads: dict[bytes, Head | None] = {}  # as they will be
        self._kept: dict[bytes, Kept] = {}  # those of them that are known as values
        self._over: dict[bytes, Single | None] = {}  # of ledger records, as they will be
        self._counts = tables.counts.copied()
        self.sums: Sums | None = None  # as they will be, if they change
        self.ended: list[tuple[bytes, int]] = []  # counted as over by a recovery: key, time
        self.came_back: list[tuple[bytes, State]] = []  # and of those that had been over: as what

    def count(self) -> Sums:
        """What is counted from here on is written with all the rest."""
        if self.sums is None:
            self.sums = replace(self._tables.sums)
        return self.sums

    def put_open(self, entry: OpenEntry, value: bytes | None = None) -> None:
        """Set an entry and move its index rows; `value`: as it was encoded for its topic."""
        if value is None:
            _, value = encode_open(entry)
        state_key, head = entry.job.encode(), head_of(entry)
        if self._tables.key_rates:
            self._note_starts(entry.job, starts_of(entry))
        self._put_open(state_key, head, value)
        self._kept[state_key] = Kept(entry, head, len(value))

    def _put_open(
        self, state_key: bytes, head: Head, value: bytes, *, is_new: bool = False
    ) -> None:
        if not is_new:
            self._drop_rows(state_key)
        changes = self._changes
        changes.append((OPEN, state_key, value))
        if head.due is not None:
            changes.append((DUE, due_row(head.due, state_key), b""))
        if head.lane is not None:
            changes.append((LANE, _lane_row(head, head.lane, state_key), b""))
        if head.held is not None:
            changes.append((HELD, held_row(head.held, head.arrival, state_key), b""))
        if head.single is not None:
            changes.append((SINGLE, *single_row(head.single, state_key, is_over=False)))
        self._heads[state_key] = head
        self._kept.pop(state_key, None)
        self._count(head, 1)

    def drop_open(self, state_key: bytes) -> None:
        """Remove an entry and its index rows."""
        self._drop_rows(state_key)
        self._changes.append(Change(OPEN, state_key, None))
        self._heads[state_key] = None
        self._kept.pop(state_key, None)

    def put_ledger(self, record: LedgerRecord, value: bytes | None = None) -> None:
        """Set a ledger record; `value`: as it was encoded for its topic."""
        if value is None:
            _, value = encode_ledger(record)
        if self._tables.key_rates:
            self._note_starts(record.job, (attempt.started for attempt in record.history))
        self._put_ledger(record.job.encode(), value, record.single)

    def drop_ledger(self, state_key: bytes) -> None:
        """Forget what became of a job."""
        self._put_ledger(state_key, None, None)

    def _put_ledger(self, state_key: bytes, value: bytes | None, single: Single | None) -> None:
        before = self._single_over(state_key)
        if before is not None:
            self._changes.append((SINGLE, single_row(before, state_key, is_over=True)[0], None))
            self._counts.singles_over -= 1
        self._changes.append((LEDGER, state_key, value))
        if single is not None:
            self._changes.append((SINGLE, *single_row(single, state_key, is_over=True)))
            self._counts.singles_over += 1
        if single is not None or before is not None:
            self._over[state_key] = single

    def _single_over(self, state_key: bytes) -> Single | None:
        """How the ledger's record of a job counts for those like it, before this."""
        if state_key in self._over:
            return self._over[state_key]
        if not self._tables.counts.singles_over:  # the usual case, and it costs nothing
            return None
        value = self._tables.store.get(LEDGER, state_key)
        return None if value is None else ledger_single(value)

    def reflect(self, topic: str, offset: int) -> None:
        """Note that the store reflects `topic` below `offset`."""
        self._changes.append(Change(META, topic.encode(), str(offset).encode()))

    def commit(self, offset: int) -> None:
        """Keep the queue's commit."""
        self._changes.append(Change(META, COMMITTED, str(offset).encode()))

    def mark(self, worker: bytes | None) -> None:
        """Note who is at work; None: nobody."""
        self._changes.append(Change(META, AT_WORK, worker))

    def be_recovered(self, is_done: bool) -> None:
        """Note that a recovery has begun, or that it is done."""
        self._changes.append(Change(META, _RECOVERING, None if is_done else b"1"))

    def enter(self, topic: str, epoch: int) -> None:
        """Note the ownership under which `topic` is written from here on."""
        self._changes.append(Change(META, _EPOCH + topic.encode(), b"%d" % epoch))

    def see(self, now: int) -> None:
        """Note that the store reflects its topics at this time."""
        self._changes.append(Change(META, _SEEN, b"%d" % now))

    def apply_retry(
        self, key: bytes, value: bytes | None, commands: str, *, is_new: bool = False
    ) -> bool:
        """Apply one record of the retry topic; False if it can't be read.

        `is_new`: the table has no entry with this key, which need not be looked for.
        """
        try:
            if key == COMMANDS_READ:
                self.reflect(commands, int(value or b"0"))
            elif key == COMMITTED:
                self.commit(int(value or b"0"))
            elif key == AT_WORK:
                self.mark(value)
            elif value is None:
                self.drop_open(key)
            else:
                self._put_open(key, decode_head(key, value), value, is_new=is_new)
                if self._tables.key_rates:
                    entry = decode_open(key, value)
                    self._note_starts(entry.job, starts_of(entry))
        except (UndecodableRecord, ValueError):
            return False
        return True

    def take_sums(self, copy: Sums, ledger_applied: int) -> bool:
        """Go on from a copy, if what it has counted of the ledger is not behind what we have."""
        if copy.since >= ledger_applied:
            self.sums = replace(copy)
            return True
        sums = self.count()  # what can't be told from the ledger
        for name in ("unrecorded", "duplicates", "forwarded", "undecodable"):
            setattr(sums, name, max(getattr(sums, name), getattr(copy, name)))
        return False

    def count_ending(self, key: bytes, record: LedgerRecord) -> None:
        """Count a record of the ledger, unless it was written again as it was."""
        value = self._tables.store.get(LEDGER, key)
        before = None if value is None else decode_ledger(key, value)
        if before is None or before.time != record.time:
            self.count().end(record.state)
            self.ended.append((key, record.time))
        elif record.is_restored and before.position < record.position:
            self.count().end(record.state)
            self.came_back.append((key, before.state))

    def apply_ledger(
        self, key: bytes, value: bytes | None, *, counts: bool = False, is_new: bool = False
    ) -> bool:
        """Apply one record of the ledger topic; False if it can't be read.

        `counts`: its job is over since the sums were kept; `is_new`: the table has no record with
        this key, which need not be looked for.
        """
        if key == AT_WORK:
            return True  # it says under which ownership the topic is written, and no more
        single = None
        if value is not None:
            try:
                record = decode_ledger(key, value)
            except UndecodableRecord:
                return False
            single = record.single
            if counts and is_new:
                self.count().end(record.state)
                self.ended.append((key, record.time))
            elif counts:
                self.count_ending(key, record)
            self._note_starts(record.job, (attempt.started for attempt in record.history))
        self._put_ledger(key, value, single)
        return True

    def _note_starts(self, job: JobKey, times: Iterable[int]) -> None:
        per_ms = self._tables.key_rates.get(job.name)
        if per_ms is not None:
            self._changes += start_rows(self._tables.store, job, times, per_ms)

    def write(self) -> None:
        """Apply all of it."""
        if not self._changes and self.sums is None:
            return
        if self._counts != self._tables.counts:
            self._changes.append(Change(META, _COUNTS, self._counts.pack()))
        if self.sums is not None:
            self._changes.append(Change(META, SUMS, self.sums.pack()))
        self._tables.store.write(self._changes)
        self._tables.counts = self._counts.copied()
        if self.sums is not None:
            self._tables.sums = self.sums
        recent = self._tables.recent
        for state_key in self._heads:
            kept = self._kept.get(state_key)
            if kept is None:
                recent.drop(state_key)
            else:
                recent.put(state_key, kept)

    def _drop_rows(self, state_key: bytes) -> None:
        before = self._head(state_key)
        if before is None:
            return
        if before.due is not None:
            self._changes.append(Change(DUE, due_row(before.due, state_key), None))
        if before.lane is not None:
            self._changes.append(Change(LANE, _lane_row(before, before.lane, state_key), None))
        if before.held is not None:
            row = held_row(before.held, before.arrival, state_key)
            self._changes.append(Change(HELD, row, None))
        if before.single is not None:
            row, _ = single_row(before.single, state_key, is_over=False)
            self._changes.append(Change(SINGLE, row, None))
        self._count(before, -1)

    def _head(self, state_key: bytes) -> Head | None:
        if state_key in self._heads:
            return self._heads[state_key]
        kept = self._tables.recent.get(state_key)
        if kept is not None:
            return kept.head
        if self._tables.all_are_recent:
            return None
        value = self._tables.store.get(OPEN, state_key)
        return None if value is None else decode_head(state_key, value)

    def _count(self, head: Head, sign: int) -> None:
        c = self._counts
        c.entries += sign
        if head.lane is not None:
            c.blocking += sign
        if head.state not in _UNBOUNDED:
            c.bounded += sign
            c.bounded_bytes += sign * head.size
        c.states[head.state] += sign
        if head.held is not None:
            c.held += sign
        if head.arrival >= c.arrivals_end:
            c.arrivals_end = head.arrival + 1
