"""Removes what nobody needs any more: from queues and commands what is acknowledged, from the
ledger what is older than it is kept. Semantics never depend on it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from streams.errors import AppendFailed
from streams.worker.pipeline import Pipeline
from streams.worker.ports import Clock, Log

logger = logging.getLogger(__name__)

EVERY_MS = 10 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """For how long records are kept, in milliseconds."""

    queue_ms: int = 24 * 60 * 60 * 1000  # after their acknowledgement was possible
    ledger_ms: int = 3 * 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One topic as it is: where records newer than some time begin, and where it ends."""

    newer: int | None  # None: there is none that is newer
    end: int

    @property
    def older_end(self) -> int:
        """Below this offset everything is older."""
        return self.end if self.newer is None else self.newer


def acknowledged_cut(seen: Seen, commit: int) -> int:
    """Below which offset a queue, or its commands, may be trimmed."""
    return min(seen.older_end, commit)


def ledger_cut(ledger: Seen, queue: Seen, commit: int) -> int:
    """Below which offset the ledger may be trimmed, all seen with the ledger's age; 0: not at all.

    What was settled above the commit is needed to know redeliveries; as long as the queue has
    records of that age that are not acknowledged, nothing is trimmed.
    """
    return 0 if queue.older_end > commit else ledger.older_end


async def trim(pipeline: Pipeline, log: Log, kept: Kept, now: int) -> None:
    """Trim the topics of one partition, and the ledger records of its local store.

    Before the broker compacts what an idle owner has not looked at, it looks.
    """
    pipeline.inspect()
    place, commit = pipeline.place, pipeline.kept_commit
    partition = place.partition
    before = now - kept.queue_ms
    for topic, acknowledged in (
        (place.topic, commit),
        (place.commands, pipeline.tables.applied(place.commands)),
    ):
        cut = acknowledged_cut(await _see(log, topic, partition, before), acknowledged)
        if cut > 0:
            await log.trim(topic, partition, cut)
    before = now - kept.ledger_ms
    cut = ledger_cut(
        await _see(log, place.ledger, partition, before),
        await _see(log, place.topic, partition, before),
        commit,
    )
    if cut > 0:
        await _forget_ledger(pipeline, log, cut, before)
        await log.trim(place.ledger, partition, cut)


async def _see(log: Log, topic: str, partition: int, before: int) -> Seen:
    newer = await log.offset_at(topic, partition, before)
    return Seen(newer=newer, end=await log.end(topic, partition))


async def _forget_ledger(pipeline: Pipeline, log: Log, cut: int, before: int) -> None:
    """Remove from the local store what is about to be trimmed, and was not written anew since."""
    place, tables = pipeline.place, pipeline.tables
    async for records in log.read(place.ledger, place.partition, 0):
        for at in range(0, len(records), 1_000):
            batch = tables.batch()
            for record in records[at : at + 1_000]:
                key = record.key or b""
                found = tables.ledger(key) if record.offset < cut else None
                if found is not None and found.ended < before:
                    batch.drop_ledger(key)
            batch.write()
            await asyncio.sleep(0)
        if records[-1].offset >= cut:
            return


class Trimmer:
    """Trims the partitions of one worker, one after the other, every ten minutes."""

    def __init__(self, pipelines: dict[tuple[str, int], Pipeline], log: Log, clock: Clock) -> None:
        self._pipelines = pipelines
        self._log = log
        self._clock = clock

    async def run(self, kept: Kept) -> None:
        """Trim until cancelled."""
        while True:
            over = asyncio.Event()
            alarm = self._clock.call_at(self._clock.now() + EVERY_MS, over.set)
            try:
                await over.wait()
            finally:
                alarm.cancel()
            await self.trim_all(kept)

    async def trim_all(self, kept: Kept) -> None:
        """Trim every partition once; one that can't be trimmed now is trimmed next time."""
        for pipeline in list(self._pipelines.values()):
            try:
                await trim(pipeline, self._log, kept, self._clock.now())
            except (AppendFailed, OSError) as error:
                where = f"{pipeline.place.topic}/{pipeline.place.partition}"
                logger.warning("trimming %s failed: %s; trying again later", where, error)
