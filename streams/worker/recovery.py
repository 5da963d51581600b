"""Brings a partition's local state up to what its topics say, before the partition starts."""

from __future__ import annotations

import logging

from streams.wire.envelope import Record
from streams.worker.ports import Append, Change, Log
from streams.worker.settlement import Place
from streams.worker.tables import Tables

logger = logging.getLogger(__name__)


async def recover(tables: Tables, log: Log, place: Place) -> int:
    """Read what the store does not reflect yet; returns how many records that were.

    The ledger is read last and wins: an entry whose job the ledger has is what a crash left
    between the two writes, and is removed.
    """
    read = 0
    for topic in (place.retry, place.ledger):
        end = await log.end(topic, place.partition)
        start = tables.applied(topic)
        if start > end:
            # The topic was made anew: what is on disk is of another life.
            start = 0
        async for records in log.read(topic, place.partition, start):
            for record in records:
                _apply(tables, place, record)
            read += len(records)
            tables.store.write([tables.applied_change(topic, records[-1].offset + 1)])
    await _remove_what_is_over(tables, log, place)
    return read


def _apply(tables: Tables, place: Place, record: Record) -> None:
    # One write for each record: the index rows of a change depend on the entry before it.
    key = record.key or b""
    if record.topic == place.retry:
        changes = tables.apply_retry(key, record.value, place.commands)
    else:
        changes = tables.apply_ledger(key, record.value)
    if changes:
        tables.store.write(changes)
    else:
        logger.warning("a record of the state topics can't be read and is skipped: %r", key[:80])


async def _remove_what_is_over(tables: Tables, log: Log, place: Place) -> None:
    over: list[bytes] = []
    for entry in tables.entries():
        ledger = tables.ledger(entry.job.encode())
        if ledger is not None and ledger.position >= entry.position:
            over.append(entry.job.encode())
    if not over:
        return
    offsets = await log.append([Append(place.retry, place.partition, key, None) for key in over])
    changes: list[Change] = [tables.applied_change(place.retry, max(offsets) + 1)]
    for key in over:
        changes += tables.drop_open(key)
    tables.store.write(changes)
