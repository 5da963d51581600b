"""Whether a recovery finds all jobs that had been counted before: a loss stays one.

It knows how many were accepted at some point of the topics, from the store or from a copy of the
sums. Of each job that moved since it has to know whether it was accepted since, as well: where that
can't be told it is taken for one that was not. So a loss may hide behind such jobs, but what is
said to be missing is missing: but for a job of a name that leaves no record (`ledger=False`) whose
id came again, and whose tombstone was compacted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from streams.errors import UndecodableRecord
from streams.wire import headers as h
from streams.wire.envelope import Record
from streams.wire.state import decode_ledger, decode_open
from streams.worker.sums import Copy, Sums
from streams.worker.tables import LEDGER, Batch, Tables

MOST = 500_000  # jobs that it keeps track of; with more it does not know
_RESTORED = b'"restored":'
_MOVED = re.compile(rb'{"state":"[a-z]+","time":(\d+),[^{}]{,200}?"arrival":(\d+),')


class Recount:
    """Of one partition."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._base: Sums | None = None  # None: it does not know how many there were
        self._from = 0  # the offset of the retry topic from which on jobs have moved since
        self._arrivals_end = 0
        self._opened: dict[bytes, tuple[int, bool]] = {}  # since: time; whether accepted since
        self._closed: set[bytes] = set()
        self._unexplained: set[bytes] = set()  # of these, those that the ledger does not have
        self._new = 0  # over, and accepted since
        self._again = 0  # of these, those that were open: perhaps as another job with their id
        self._ledger = 0  # the offset of the ledger that comes next, if nothing was compacted
        self._compacted = 0  # offsets of it that are not there
        self._back: dict[bytes, tuple[int, int, int]] = {}  # brought back since: how far they are
        self._taken: set[bytes] = set()  # of which the end before that is counted no more

    def begin(self, sums: Sums, arrivals_end: int, retry: int, *, is_known: bool = True) -> None:
        """So many there were when the retry topic was read up to here."""
        self.lose_track()
        self._back, self._taken = {}, set()
        self._arrivals_end, self._from = arrivals_end, retry
        self._base = sums if is_known else None
        self._ledger = sums.since

    def begin_from(self, copy: Copy, offset: int, *, is_recent: bool) -> None:
        """Likewise, from a copy in the retry topic, unless something came before it."""
        is_known = is_recent and copy.retry == offset
        self.begin(copy.sums, copy.arrivals_end, offset + 1, is_known=is_known)

    def lose_track(self) -> None:
        """How many there were is not known any more."""
        self._base, self._new, self._again, self._compacted = None, 0, 0, 0
        self._opened, self._closed, self._unexplained = {}, set(), set()

    # -- what moved ----------------------------------------------------------------------------

    def take_retry(self, batch: Batch, records: Sequence[Record]) -> None:
        """Records that count, before the batch is written."""
        # Open by one of these records, and removed by one: the tables do not know it yet.
        back, gone = set[bytes](), set[bytes]()
        for record in records:
            key, value = record.key or b"", record.value
            if key[:1] == b"#":
                continue
            if value is not None and _RESTORED in value:
                was_open = key in back or (key not in gone and self._tables.open(key) is not None)
                if record.offset >= self._from and not was_open:
                    self._note_back(batch, key, value)
                back.add(key)
            elif value is None:
                gone.add(key)
            if self._base is not None and record.offset >= self._from:
                self._note_move(key, record)
        if len(self._opened) + len(self._closed) > MOST:
            self.lose_track()

    def _note_move(self, key: bytes, record: Record) -> None:
        value = record.value
        if value is not None:
            found = _MOVED.match(value)  # the whole of it costs ten times as much
            time, arrival = (-1, -1) if found is None else map(int, found.groups())
            is_new = arrival >= self._arrivals_end and key not in self._back
            self._opened[key] = time, is_new
        elif any(name == h.EPOCH for name, _ in record.headers):
            self._closed.add(key)  # by an owner: who else removes something explains nothing
            if not self._opened.get(key, (0, False))[1]:
                self._unexplained.add(key)

    def take_ledger(
        self, batch: Batch, records: Sequence[Record], latest: Mapping[bytes, Record]
    ) -> None:
        """Records that count, the last one of each key, and what was counted of these."""
        since = self._tables.sums.since
        for record in records:
            key, value = record.key or b"", record.value
            is_counted = record.offset < since or record is latest.get(key)
            if is_counted and key in self._back and value is not None:
                self._take_back(batch, key, value)
        for key, before in batch.came_back:
            if self._from == 0 and key not in self._taken:
                batch.count().end(before, -1)
        if self._base is None:
            return
        explained = {record.key or b"" for record in records if self._explains(record)}
        self._unexplained.difference_update(explained)
        for record in records:
            if record.offset >= self._ledger:
                self._compacted += record.offset - self._ledger
                self._ledger = record.offset + 1
        for key, time in batch.ended:
            if key in self._opened:
                is_new = self._opened[key] == (time, True)
                self._new += is_new
                self._again += is_new
            elif key not in self._closed:
                self._new += self._tables.open(key) is None

    def _explains(self, record: Record) -> bool:
        """Whether it may be of what was open first, and not of a later job with its id."""
        key, value = record.key or b"", record.value
        time, is_new = self._opened.get(key, (0, False))
        if value is None or not is_new or key not in self._unexplained:
            return True
        try:
            return decode_ledger(key, value).time != time
        except UndecodableRecord:
            return True

    # -- what came back ------------------------------------------------------------------------

    def _note_back(self, batch: Batch, key: bytes, value: bytes) -> None:
        try:
            entry = decode_open(key, value)
        except UndecodableRecord:
            return
        if entry.restored is None:
            return
        self._back[key] = entry.position
        if (before := self._tables.store.get(LEDGER, key)) is not None:
            self._take_back(batch, key, before)

    def _take_back(self, batch: Batch, key: bytes, value: bytes) -> None:
        """The end of a job that was brought back since: it is counted, and it is none."""
        try:
            before = decode_ledger(key, value)
        except UndecodableRecord:
            return
        position = self._back[key]
        if before.time == position[0] and before.position < position:
            batch.count().end(before.state, -1)
            self._taken.add(key)
            del self._back[key]  # else it is of an earlier job with its id

    # -- what is missing -----------------------------------------------------------------------

    def lost(self, over: int, entries: int) -> int:
        """How many are missing, of as many as are over and open now."""
        if self._base is None:
            return 0
        new = sum(is_new and self._is_open(key) for key, (_, is_new) in self._opened.items())
        before = self._base.accepted - self._base.drift
        # Of an id that came again the topic keeps one end: that of an earlier job may be gone.
        overwritten = min(self._again, self._compacted)
        wanted = before + self._new + new - len(self._unexplained) - overwritten
        return max(0, wanted - over - entries)

    def _is_open(self, key: bytes) -> bool:
        """Whether it is, or should be."""
        if self._tables.open(key) is not None:
            return True
        return key not in self._closed and self._tables.ledger(key) is None
