"""A partition's state: the open table with its indexes, the ledger table, and what they reflect."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streams.errors import UndecodableRecord
from streams.wire.state import (
    LedgerRecord,
    OpenEntry,
    decode_ledger,
    decode_open,
    encode_ledger,
    encode_open,
)
from streams.worker.ports import Change, Store

OPEN = "open"  # state key -> entry
LEDGER = "ledger"  # state key -> record
DUE = "due"  # due time, state key -> nothing
LANE = "lane"  # lane, arrival, state key -> nothing; only entries that block
META = "meta"  # names of what was applied -> offset

COMMANDS_READ = b"#commands"  # key of the retry topic's record of how far commands were obeyed

_number = struct.Struct(">Q")
_length = struct.Struct(">I")


def lane_of(entry: OpenEntry) -> bytes | None:
    """The lane of an entry: its record key, if its job has an ordering key."""
    return None if entry.job.ordering_key is None else entry.record_key


def due_row(entry: OpenEntry, state_key: bytes) -> bytes | None:
    """The entry's row in the index by due time."""
    return None if entry.due is None else _number.pack(max(entry.due, 0)) + state_key


def _lane_prefix(lane: bytes) -> bytes:
    # With its length in front no lane is the beginning of another.
    return _length.pack(len(lane)) + lane


def _lane_row(entry: OpenEntry, state_key: bytes) -> bytes | None:
    lane = lane_of(entry)
    if lane is None or not entry.blocks:
        return None
    return _lane_prefix(lane) + _number.pack(entry.arrival) + state_key


class Tables:
    """Typed reads of one store, and the changes that keep its indexes right.

    Changes that were asked for must be written: the count of blocking entries goes with them.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._blockers = sum(1 for _ in store.scan(LANE, b"", None))

    def open(self, state_key: bytes) -> OpenEntry | None:
        """The entry of a job that is open."""
        value = self.store.get(OPEN, state_key)
        return None if value is None else decode_open(state_key, value)

    def ledger(self, state_key: bytes) -> LedgerRecord | None:
        """The record of a job that is over."""
        value = self.store.get(LEDGER, state_key)
        return None if value is None else decode_ledger(state_key, value)

    def first_blocker(self, lane: bytes) -> OpenEntry | None:
        """The earliest open job of a lane that blocks it."""
        if not self._blockers:  # the usual case, and it costs nothing
            return None
        prefix = _lane_prefix(lane)
        for row, _ in self.store.scan(LANE, prefix, prefix + b"\xff" * 9):
            return self.open(row[len(prefix) + _number.size :])
        return None

    def due_from(self, start: bytes, now: int) -> Iterator[tuple[bytes, bytes]]:
        """(row, state key) of what is due by `now`, from row `start` on."""
        for row, _ in self.store.scan(DUE, start, _number.pack(now + 1)):
            yield row, row[_number.size :]

    def next_due(self, start: bytes) -> int | None:
        """The due time of the first row from `start` on."""
        for row, _ in self.store.scan(DUE, start, None):
            return int(_number.unpack(row[: _number.size])[0])
        return None

    def entries(self) -> Iterator[OpenEntry]:
        """All open entries."""
        for key, value in self.store.scan(OPEN, b"", None):
            yield decode_open(key, value)

    def applied(self, topic: str) -> int:
        """The offset of `topic` up to which this store reflects it."""
        value = self.store.get(META, topic.encode())
        return 0 if value is None else int(value)

    @staticmethod
    def applied_change(topic: str, offset: int) -> Change:
        """The change that records how far `topic` is reflected."""
        return Change(META, topic.encode(), str(offset).encode())

    def put_open(self, entry: OpenEntry) -> list[Change]:
        """Changes that set an entry and move its index rows."""
        state_key, value = encode_open(entry)
        changes = self._drop_rows(state_key)
        changes.append(Change(OPEN, state_key, value))
        if (due := due_row(entry, state_key)) is not None:
            changes.append(Change(DUE, due, b""))
        if (row := _lane_row(entry, state_key)) is not None:
            changes.append(Change(LANE, row, b""))
            self._blockers += 1
        return changes

    def drop_open(self, state_key: bytes) -> list[Change]:
        """Changes that remove an entry and its index rows."""
        return [*self._drop_rows(state_key), Change(OPEN, state_key, None)]

    @staticmethod
    def put_ledger(record: LedgerRecord) -> Change:
        """The change that sets a ledger record."""
        return Change(LEDGER, *encode_ledger(record))

    def apply_retry(self, key: bytes, value: bytes | None, commands: str) -> list[Change]:
        """Changes for one record of the retry topic; none if it can't be read."""
        if key == COMMANDS_READ:
            return [self.applied_change(commands, int(value or b"0"))]
        if value is None:
            return self.drop_open(key)
        try:
            return self.put_open(decode_open(key, value))
        except UndecodableRecord:
            return []

    def apply_ledger(self, key: bytes, value: bytes | None) -> list[Change]:
        """Changes for one record of the ledger topic; none if it can't be read."""
        if value is None:
            return [Change(LEDGER, key, None)]
        try:
            decode_ledger(key, value)
        except UndecodableRecord:
            return []
        return [Change(LEDGER, key, value)]

    def _drop_rows(self, state_key: bytes) -> list[Change]:
        before = self.open(state_key)
        if before is None:
            return []
        changes = []
        if (due := due_row(before, state_key)) is not None:
            changes.append(Change(DUE, due, None))
        if (row := _lane_row(before, state_key)) is not None:
            changes.append(Change(LANE, row, None))
            self._blockers -= 1
        return changes
