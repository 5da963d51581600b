"""Brings a partition's local state up to what its topics say, before the partition starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence

from streams.jobs.lifecycle import Happening, LifecycleEvent, Listener
from streams.wire.envelope import Record
from streams.worker.ports import Append, Log
from streams.worker.settlement import Place
from streams.worker.tables import Tables

logger = logging.getLogger(__name__)

AT_ONCE = 1_000  # records applied before other work of the worker gets its turn
# Local state that is older is rebuilt: tombstones that it has not seen may be gone (the retry and
# ledger topics keep them for 24 hours).
STALE_AFTER_MS = 20 * 60 * 60 * 1000


async def recover(
    tables: Tables, log: Log, place: Place, now: int, notify: Listener = lambda event: None
) -> int:
    """Read what the store does not reflect yet; returns how many records that were.

    The ledger is read last and wins: an entry whose job the ledger has is what a crash left
    between the two writes, and is removed.
    """
    read = 0
    ends = {topic: await log.end(topic, place.partition) for topic in (place.retry, place.ledger)}
    if (why := _unusable(tables, ends, now)) is not None:
        logger.info("%s/%d: local state is rebuilt: %s", place.topic, place.partition, why)
        tables.clear()
    over = dict.fromkeys(_all_over(tables)) if tables.is_being_recovered() else {}
    for topic, end in ends.items():
        async for records in log.read(topic, place.partition, tables.applied(topic)):
            for at in range(0, len(records), AT_ONCE):
                chunk = records[at : at + AT_ONCE]
                for record in apply(tables, place, chunk):
                    _tell(record, place, now, notify)
                _note_what_is_over(tables, chunk, over)
                await asyncio.sleep(0)
            read += len(records)
        if tables.applied(topic) < end:  # the last records were removed by compaction
            batch = tables.batch()
            batch.reflect(topic, end)
            batch.write()
    await _remove(tables, log, place, over)
    batch = tables.batch()
    batch.see(now)
    batch.be_recovered(True)
    batch.write()
    return read


def _all_over(tables: Tables) -> Iterator[bytes]:
    """Of all open entries those whose job the ledger has: a recovery ended before removing them."""
    for entry in tables.entries():
        ledger = tables.ledger(entry.job.encode())
        if ledger is not None and ledger.position >= entry.position:
            yield entry.job.encode()


def _unusable(tables: Tables, ends: Mapping[str, int], now: int) -> str | None:
    seen = tables.seen()
    if seen is not None and seen + STALE_AFTER_MS < now:
        return "it is older than tombstones are kept"
    if any(tables.applied(topic) > end for topic, end in ends.items()):
        return "its topics were made anew"
    return None


def apply(tables: Tables, place: Place, records: Sequence[Record]) -> list[Record]:
    """Apply records of one state topic, in order; returns those that can't be read."""
    unreadable = []
    batch = tables.batch()
    latest = {record.key or b"": record for record in records}
    topic = records[-1].topic
    for key, record in latest.items():
        if topic == place.retry:
            is_readable = batch.apply_retry(key, record.value, place.commands)
        else:
            is_readable = batch.apply_ledger(key, record.value)
        if not is_readable:
            unreadable.append(record)
    batch.reflect(topic, records[-1].offset + 1)
    # From here on the store knows more than was done about it: see `_all_over`.
    batch.be_recovered(False)
    batch.write()
    return unreadable


def _tell(record: Record, place: Place, now: int, notify: Listener) -> None:
    where = f"{record.topic}/{record.partition}@{record.offset}"
    logger.error("%s can't be read and is skipped: %r", where, (record.key or b"")[:80])
    notify(
        LifecycleEvent(
            happening=Happening.UNDECODABLE,
            at=now,
            queue=place.queue,
            name="",
            id="",
            error=f"a record of state can't be read: {where}",
        )
    )


def _note_what_is_over(tables: Tables, records: Sequence[Record], over: dict[bytes, None]) -> None:
    for record in records:
        key = record.key or b""
        if key.startswith(b"#"):
            continue
        entry = tables.open(key)
        if entry is None:
            over.pop(key, None)
            continue
        ledger = tables.ledger(key)
        if ledger is not None and ledger.position >= entry.position:
            over[key] = None
        else:
            over.pop(key, None)


async def _remove(tables: Tables, log: Log, place: Place, over: dict[bytes, None]) -> None:
    if not over:
        return
    offsets = await log.append([Append(place.retry, place.partition, key, None) for key in over])
    batch = tables.batch()
    batch.reflect(place.retry, max(offsets) + 1)
    for key in over:
        batch.drop_open(key)
    batch.write()
