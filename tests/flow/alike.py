"""Jobs that are alike, and a sandbox whose worker is ended and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from streams import Event, JobPayload
from streams.testing.sandbox import Sandbox
from streams.wire.envelope import Envelope, Record, encode
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


async def restart(box: Sandbox, *, loses_disk: bool = False) -> None:
    """Crash the worker, start it again, and let it go on until nothing moves."""
    await crash(box, loses_disk=loses_disk)
    await box.cluster.settle()


async def crash(box: Sandbox, *, loses_disk: bool = False, log: Log | None = None) -> None:
    """Crash the worker and start it again."""
    for worker in list(box.cluster.workers):
        await box.cluster.kill(worker)
    if loses_disk:
        box.cluster.lose_disks()
    box._worker = await box.cluster.start_worker("w1", log=log)


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on until it is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def write(box: Sandbox, payload: JobPayload, id: str) -> None:
    """Enqueue a job, and let nothing happen yet."""
    name = payload.__job_name__
    envelope = Envelope(
        id=id,
        name=name,
        source="test",
        time=box.cluster.clock.now(),
        queue=payload.__queue__,
        payload=payload.model_dump_json().encode(),
        key=f"{name}:{payload.ordering_key()}",
    )
    key, value, headers = encode(envelope)
    box.cluster.log.write(
        Append(box.cluster.names.queue(payload.__queue__), None, key, value, headers)
    )


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
