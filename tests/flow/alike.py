"""Jobs that are alike, and a sandbox whose worker is ended and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from streams import Event, JobPayload
from streams.testing.sandbox import Sandbox
from streams.wire.envelope import Record
from streams.wire.state import LedgerRecord, OpenEntry
from streams.worker.ports import Append, Log
from streams.worker.single_index import SINGLE


class Sync(JobPayload, name="sync", key="account"):
    account: int
    n: int = 0
    do: str = ""


class Changed(Event, type="account.changed", key="account"):
    account: int
    n: int = 0


class PassedOn:
    """A log that passes everything on to another one."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        return await self._log.append(records)

    def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        return self._log.read(topic, partition, start)

    async def end(self, topic: str, partition: int) -> int:
        return await self._log.end(topic, partition)

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        return await self._log.offset_at(topic, partition, time)

    async def trim(self, topic: str, partition: int, before: int) -> None:
        await self._log.trim(topic, partition, before)


class Slow(PassedOn):
    """A log whose appends take some steps: a crash may come before each, and after it."""

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        for _ in range(3):
            await asyncio.sleep(0)
        offsets = await super().append(records)
        for _ in range(3):
            await asyncio.sleep(0)
        return offsets


def dropped(box: Sandbox) -> dict[str, str]:
    """Why jobs were discarded, by id."""
    return {one.job.id: one.reason for one in box.jobs(state="discarded")}


def states(box: Sandbox) -> dict[str, str]:
    """In which state each job is, by id; what is over is, whatever a crash has left behind."""
    found: dict[str, str] = {}
    for one in sorted(box.jobs(), key=lambda one: isinstance(one, LedgerRecord)):
        assert isinstance(one, OpenEntry | LedgerRecord)
        found[one.job.id] = one.state.value
    return found


def remembered(box: Sandbox) -> int:
    """How many rows the index of those that are alike has, over all partitions."""
    stores = [pipeline.tables.store for w in box.cluster.workers for pipeline in queues(w)]
    return sum(len(list(store.scan(SINGLE, b"", None))) for store in stores)


def in_memory(box: Sandbox) -> int:
    """How many of them are known in memory."""
    return sum(len(pipeline.hand.singles) for w in box.cluster.workers for pipeline in queues(w))


def queues(worker: object) -> list:  # type: ignore[type-arg]
    return list(worker.engine.queues.values())  # type: ignore[attr-defined]
