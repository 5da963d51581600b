"""Brings a partition's local state up to what its topics say, before the partition starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from streams.wire.envelope import Record
from streams.worker.ports import Append, Log
from streams.worker.settlement import Place
from streams.worker.tables import Tables

logger = logging.getLogger(__name__)

AT_ONCE = 1_000  # records applied before other work of the worker gets its turn


async def recover(tables: Tables, log: Log, place: Place) -> int:
    """Read what the store does not reflect yet; returns how many records that were.

    The ledger is read last and wins: an entry whose job the ledger has is what a crash left
    between the two writes, and is removed.
    """
    over: dict[bytes, None] = {}
    read = 0
    for topic in (place.retry, place.ledger):
        end = await log.end(topic, place.partition)
        async for records in log.read(topic, place.partition, tables.applied(topic)):
            for at in range(0, len(records), AT_ONCE):
                chunk = records[at : at + AT_ONCE]
                _apply(tables, place, chunk)
                _note_what_is_over(tables, chunk, over)
                await asyncio.sleep(0)
            read += len(records)
        if tables.applied(topic) < end:  # the last records were removed by compaction
            batch = tables.batch()
            batch.reflect(topic, end)
            batch.write()
    await _remove(tables, log, place, over)
    return read


def _apply(tables: Tables, place: Place, records: Sequence[Record]) -> None:
    batch = tables.batch()
    latest = {record.key or b"": record for record in records}
    topic = records[-1].topic
    for key, record in latest.items():
        if topic == place.retry:
            is_readable = batch.apply_retry(key, record.value, place.commands)
        else:
            is_readable = batch.apply_ledger(key, record.value)
        if not is_readable:
            logger.error(
                "%s/%d@%d can't be read and is skipped: %r",
                topic,
                record.partition,
                record.offset,
                key[:80],
            )
    batch.reflect(topic, records[-1].offset + 1)
    batch.write()


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
