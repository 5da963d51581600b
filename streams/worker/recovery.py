"""Brings a partition's local state up to what its topics say, before the partition starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from streams.errors import UndecodableRecord
from streams.jobs.lifecycle import Happening, LifecycleEvent, Listener
from streams.wire import headers as h
from streams.wire.envelope import Record
from streams.wire.state import decode_ledger
from streams.worker.ports import Append, Log
from streams.worker.recount import Recount
from streams.worker.reports import report_of_entry
from streams.worker.settlement import Place, epoch_headers, ledger_value, retry_value
from streams.worker.sums import SUMS, decode
from streams.worker.tables import Batch, Tables

logger = logging.getLogger(__name__)

AT_ONCE = 200  # records applied before other work of the worker gets its turn
BUILT_FROM = 10_000  # records: with fewer to read, what is saved is less than the end of it costs
_SLOTS = 2 * 1024 * 1024  # bytes, for each partition that is built from nothing
# Local state that is older is rebuilt: tombstones that it has not seen may be gone (the retry and
# ledger topics keep them for 24 hours).
STALE_AFTER_MS = 20 * 60 * 60 * 1000


async def recover(
    tables: Tables, log: Log, place: Place, now: int, notify: Listener = lambda event: None
) -> int:
    """Read what the store does not reflect yet; returns how many records that were."""
    recovery = Recovery(tables, place, notify)
    await recovery.begin(log, now)
    return await recovery.finish(log, now)


class Recovery:
    """One store on its way to being complete; a standby is one that is never finished.

    The ledger is read last and wins: an entry whose job the ledger has is what a crash left
    between the two writes, and is removed at the end. What was written under an ownership that
    had ended by then is void: it is passed over, and overwritten at the end.
    """

    def __init__(self, tables: Tables, place: Place, notify: Listener) -> None:
        self.tables = tables
        self.place = place
        self._notify = notify
        self._over: dict[bytes, None] = {}
        # Asked once: a look may go through all that was removed before the first one that is left.
        self._has_ledger = tables.has_ledger()
        self._keys: _Keys | None = None  # of the retry topic, while it is read into an empty table
        self._ended: _Keys | None = None  # likewise of the ledger
        self._void: dict[tuple[str, bytes], None] = {}  # topic, key: its last record is void
        self._recount = Recount(tables)
        self._now = 0

    async def begin(self, log: Log, now: int) -> None:
        """Look at what is there; what can't be relied on is forgotten."""
        place, tables = self.place, self.tables
        self._now = now
        ends = {topic: await log.end(topic, place.partition) for topic in self._topics}
        if (why := _unusable(tables, ends, now)) is not None:
            logger.info("%s/%d: local state is rebuilt: %s", place.topic, place.partition, why)
            tables.clear()
            self._has_ledger = False
        if not tables.counts.entries:
            self._keys = _Keys()
        if not self._has_ledger:
            self._ended = _Keys()
        if tables.is_being_recovered():
            await self._find_all_over()
            return
        batch = tables.batch()
        sums = batch.count()  # what did not add up before does not afterwards
        sums.drift, sums.since = tables.unaccounted, tables.applied(place.ledger)
        retry, end = tables.applied(place.retry), tables.counts.arrivals_end
        self._recount.begin(replace(sums), end, retry, is_known=retry > 0)
        batch.write()

    def apply(self, records: Sequence[Record]) -> None:
        """Apply records of one of the two topics, in order."""
        topic = records[-1].topic
        epoch, valid = self._separate(topic, records)
        self._has_ledger = self._has_ledger or topic == self.place.ledger
        batch = self.tables.batch()
        for record in self._put(batch, valid):
            self._tell(record)
        batch.reflect(topic, records[-1].offset + 1)
        batch.enter(topic, epoch)
        # From here on the store knows more than was done about it: see `_find_all_over`.
        batch.be_recovered(False)
        batch.write()
        self._note_what_is_over(valid)

    async def catch_up(self, log: Log) -> int:
        """Read both topics to their ends; returns how many records that were."""
        tables, partition = self.tables, self.place.partition
        ends = {topic: await log.end(topic, partition) for topic in self._topics}
        if any(map(tables.applied, ends)) or sum(ends.values()) < BUILT_FROM:
            return await self._read(log, ends)
        tables.build()
        try:
            read = await self._read(log, ends)
        except (Exception, asyncio.CancelledError):
            tables.be_built()  # whoever opens the store next goes on from here
            raise
        tables.be_built()
        return read

    async def _read(self, log: Log, ends: Mapping[str, int]) -> int:
        read = 0
        for topic, end in ends.items():
            partition = self.place.partition
            async for records in log.read(topic, partition, self.tables.applied(topic)):
                for at in range(0, len(records), AT_ONCE):
                    self.apply(records[at : at + AT_ONCE])
                    await asyncio.sleep(0)
                read += len(records)
            if self.tables.applied(topic) < end:  # the last records were removed by compaction
                batch = self.tables.batch()
                batch.reflect(topic, end)
                batch.write()
        self._keys = self._ended = None
        return read

    async def finish(self, log: Log, now: int) -> int:
        """Catch up and clean up: the partition may start; returns how many records were read."""
        read = await self.catch_up(log)
        await self._clean_up(log)
        batch = self.tables.batch()
        sums = batch.count()
        entries = self.tables.counts.entries
        if lost := self._recount.lost(sums.over, entries):
            sums.drift += lost
            logger.error(
                "%s/%d: %d accepted jobs are gone from its topics; run `streams audit`",
                *(self.place.topic, self.place.partition, lost),
            )
        sums.accepted = sums.over + entries + sums.drift
        batch.see(now)
        batch.be_recovered(True)
        batch.write()
        return read

    @property
    def _topics(self) -> tuple[str, str]:
        return (self.place.retry, self.place.ledger)

    def _put(self, batch: Batch, records: Sequence[Record]) -> list[Record]:
        """Put records into a batch, the last one of each key; returns those that can't be read."""
        unreadable = []
        keys, retry, commands = self._keys, self.place.retry, self.place.commands
        latest = {record.key or b"": record for record in records}
        since = self.tables.sums.since
        is_ledger = bool(records) and records[0].topic != retry
        if is_ledger and len(latest) < len(records):
            self._count_overwritten(batch, records, latest)
        if not is_ledger:
            copy = latest.pop(SUMS, None)  # first: the recount begins behind it
            if copy is not None and not self._take_sums(batch, copy):
                unreadable.append(copy)
            self._recount.take_retry(batch, records)
        for key, record in latest.items():
            if record.topic == retry:
                is_new = keys is not None and keys.is_first(key)
                is_readable = batch.apply_retry(key, record.value, commands, is_new=is_new)
            else:
                is_new = self._ended is not None and self._ended.is_first(key)
                counts = record.offset >= since
                is_readable = batch.apply_ledger(key, record.value, counts=counts, is_new=is_new)
            if not is_readable:
                unreadable.append(record)
        if is_ledger:
            self._recount.take_ledger(batch, records, latest)
        return unreadable

    def _take_sums(self, batch: Batch, record: Record) -> bool:
        try:
            copy = decode(record.value or b"")
        except ValueError:
            return False
        if batch.take_sums(copy.sums, self.tables.applied(self.place.ledger)):
            is_recent = record.timestamp > self._now - STALE_AFTER_MS  # tombstones are there
            self._recount.begin_from(copy, record.offset, is_recent=is_recent)
        else:
            self._recount.lose_track()
        return True

    def _count_overwritten(
        self, batch: Batch, records: Sequence[Record], latest: Mapping[bytes, Record]
    ) -> None:
        """What ended, and ended again as another job with its id before it was applied."""
        counted: set[tuple[bytes, int]] = set()
        for record in records:
            key, value = record.key or b"", record.value
            last = latest[key].value
            if last is value or value is None or key[:1] == b"#":
                continue
            try:
                ending = decode_ledger(key, value)
                follows = None if last is None else decode_ledger(key, last).time
            except UndecodableRecord:
                continue
            of = (key, ending.time)
            is_new = record.offset >= self.tables.sums.since and of not in counted
            if is_new and ending.time != follows:
                counted.add(of)
                batch.count_ending(key, ending)

    def _note_what_is_over(self, records: Sequence[Record]) -> None:
        """Compare the jobs of what was just applied with the ledger, if both tables have any."""
        tables, over = self.tables, self._over
        if not tables.counts.entries or not self._has_ledger:
            over.clear()
            return
        for record in records:
            key = record.key or b""
            if key.startswith(b"#"):
                continue
            ledger = tables.ledger(key)  # of most keys there is none, and that costs little
            entry = None if ledger is None else tables.open(key)
            if entry is not None and ledger is not None and ledger.position >= entry.position:
                over[key] = None
            else:
                over.pop(key, None)

    async def _find_all_over(self) -> None:
        """Of all open entries those whose job the ledger has: the last recovery was cut off.

        It had not removed them yet. They are as many as the open table has: other work of the
        worker gets its turn in between, or its session would end, and this begin again.
        """
        tables = self.tables
        for seen, entry in enumerate(tables.entries()):
            if seen % AT_ONCE == 0:
                await asyncio.sleep(0)
            key = entry.job.encode()
            ledger = tables.ledger(key)
            if ledger is not None and ledger.position >= entry.position:
                self._over[key] = None

    def _separate(self, topic: str, records: Sequence[Record]) -> tuple[int, list[Record]]:
        """The latest ownership, and the records that were not written under an earlier one."""
        epoch = self.tables.epoch(topic)
        valid = []
        for record in records:
            its = epoch_of(record)
            if its is not None and its < epoch:
                self._void[(topic, record.key or b"")] = None
                continue
            epoch = its or epoch
            if self._void:
                self._void.pop((topic, record.key or b""), None)
            valid.append(record)
        return epoch, valid

    async def _clean_up(self, log: Log) -> None:
        """Remove entries of what is over, and overwrite what is void."""
        place, tables = self.place, self.tables
        headers = epoch_headers(max(tables.epoch(topic) for topic in self._topics) + 1)
        values: dict[tuple[str, bytes], bytes | None] = {
            (topic, key): retry_value(tables, place, key)
            if topic == place.retry
            else ledger_value(tables, key)
            for topic, key in self._void
        }
        values.update({(place.retry, key): None for key in self._over})
        if reports := self._reports():
            await log.append(reports)  # before their entries are forgotten
        for topic in self._topics:
            appends = [
                Append(topic, place.partition, key, value, headers)
                for (of, key), value in values.items()
                if of == topic
            ]
            if appends:
                offsets = await log.append(appends)
                batch = tables.batch()
                batch.reflect(topic, max(offsets) + 1)
                if topic == place.retry:
                    for key in self._over:
                        batch.drop_open(key)
                batch.write()
        self._over, self._void = {}, {}

    def _reports(self) -> list[Append]:
        """Of children that are over: a crash may have come before they were made."""
        reports: list[Append] = []
        for key in self._over:
            entry, ledger = self.tables.open(key), self.tables.ledger(key)
            if entry is not None and ledger is not None:
                reports += report_of_entry(entry, ledger.state, self.place)
        return reports

    def _tell(self, record: Record) -> None:
        where = f"{record.topic}/{record.partition}@{record.offset}"
        logger.error("%s can't be read and is skipped: %r", where, (record.key or b"")[:80])
        self._notify(
            LifecycleEvent(
                happening=Happening.UNDECODABLE,
                at=record.timestamp,
                queue=self.place.queue,
                name="",
                id="",
                error=f"a record of state can't be read: {where}",
            )
        )


def _unusable(tables: Tables, ends: Mapping[str, int], now: int) -> str | None:
    seen = tables.seen()
    if seen is not None and seen + STALE_AFTER_MS < now:
        return "it is older than tombstones are kept"
    if any(tables.applied(topic) > end for topic, end in ends.items()):
        return "its topics were made anew"
    return None


class _Keys:
    """Says of most keys that come for the first time that they do; never of another one.

    It asks a table in memory what would be asked of the disk otherwise.
    """

    def __init__(self) -> None:
        self._seen = bytearray(_SLOTS)

    def is_first(self, key: bytes) -> bool:
        slot = hash(key) % _SLOTS
        if self._seen[slot]:
            return False
        self._seen[slot] = 1
        return True


def epoch_of(record: Record) -> int | None:
    """The ownership under which a record of state was written; None: it does not say."""
    for name, value in record.headers:
        if name == h.EPOCH and value is not None and value.isdigit():
            return int(value)
    return None
