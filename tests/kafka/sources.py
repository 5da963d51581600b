"""What reads a topic for a worker, in memory and for real, with a test in the worker's place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiokafka import TopicPartition
from worker_process import WorkerProcess

from streams import Event, job
from streams.jobs.registry import Registry
from streams.kafka.log import KafkaLog
from streams.testing.cluster import MemoryCluster
from streams.testing.worker import MemoryWorker
from streams.wire.admin import apply_topics, open_admin
from streams.wire.envelope import Record
from streams.wire.topics import TopicNames, specs
from streams.worker.engine import Engine
from streams.worker.ports import Append, Log, Source

PARTITIONS = 2
PATIENCE_S = 60


class Reading(Protocol):
    """A worker that reads two partitions, from where its predecessor left them."""

    log: Log
    topic: str

    async def start(self) -> None:
        """Start the first one."""

    async def stop(self) -> None:
        """End it in good order."""

    async def read(self, partition: int, count: int) -> list[int]:
        """The offsets that were handed over since the last call, once there are `count`."""

    async def hold(self, partition: int, held: bool) -> None:
        """Want no more of a partition, or want it again; returns once that is heard."""

    async def release(self, partition: int, watermark: int) -> None:
        """Acknowledge what is below, and commit."""

    async def committed(self) -> dict[int, int]:
        """Where a successor would start, for each partition of which anything was committed."""

    async def succeed(self) -> None:
        """End it in good order, and start a successor."""


async def append(reading: Reading, partition: int, count: int) -> None:
    """Put records behind those that are there."""
    await reading.log.append([Append(reading.topic, partition, b"key", b"value")] * count)


class MemoryReading:
    """A worker on the log of the sandbox and the simulator."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        registry = Registry.build([taken.__job_definition__], ["default"])  # type: ignore[attr-defined]
        self._cluster = MemoryCluster(registry, partitions=PARTITIONS)
        self.log = self._cluster.log
        self.topic = "probed"
        self._worker: MemoryWorker
        self._targets: dict[int, _Target] = {}
        monkeypatch.setattr(Engine, "open_events", self._open_events)

    async def _open_events(self, event_type: str, partition: int, source: Source) -> _Target:
        self._targets[partition] = _Target(source)
        return self._targets[partition]

    async def start(self) -> None:
        self._worker = await self._cluster.start_worker()

    async def stop(self) -> None:
        self._cluster.workers.remove(self._worker)
        await self._worker.leave()

    async def read(self, partition: int, count: int) -> list[int]:
        await self._cluster.settle()
        target = self._targets[partition]
        offsets, target.offsets = target.offsets, []
        assert len(offsets) >= count, f"{offsets} are all that there is"
        return offsets

    async def hold(self, partition: int, held: bool) -> None:
        self._targets[partition].wants_more = not held

    async def release(self, partition: int, watermark: int) -> None:
        self._targets[partition].source.release(watermark)

    async def committed(self) -> dict[int, int]:
        commits = self._cluster.commits.items()
        return {partition: offset for (topic, partition), offset in commits if topic == self.topic}

    async def succeed(self) -> None:
        await self.stop()
        await self.start()


class Probed(Event, type="probed"):
    """What the topic holds."""


@job
async def taken(event: Probed) -> None:
    """Makes workers subscribe to the topic; the test takes what comes."""


class _Target:
    """In the place of the fan-out of one partition."""

    watermark = 0  # it knows of no commit but the group's

    def __init__(self, source: Source) -> None:
        self.source = source
        self.wants_more = True
        self.offsets: list[int] = []

    def deliver(self, records: Sequence[Record]) -> None:
        self.offsets += [record.offset for record in records]


class KafkaReading:
    """A worker process with `probe_handlers`, which tell of all batches and take commands."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        self._kafka = kafka
        self._prefix = prefix
        self._folder = folder
        self.log = KafkaLog(kafka, "probe")
        self.topic = TopicNames(prefix).event("probed")
        self._connections: asyncio.Queue[Any] = asyncio.Queue()
        self._server: asyncio.Server
        self._worker: WorkerProcess
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._offsets: dict[int, list[int]] = {}  # of the partitions that are open
        self._asked = self._obeyed = 0

    async def start(self) -> None:
        wanted = specs(TopicNames(self._prefix), ["default"], ["probed"], PARTITIONS)
        async with open_admin(self._kafka) as admin:
            await apply_topics(admin, wanted)
        await self.log.start()
        self._server = await asyncio.start_server(
            lambda *connection: self._connections.put_nowait(connection), "127.0.0.1", 0
        )
        port = self._server.sockets[0].getsockname()[1]
        self._worker = WorkerProcess(
            self._kafka,
            self._prefix,
            "probe_handlers",
            self._folder,
            STREAMS_QUEUES="default",
            PROBE=str(port),
        )
        await self._start_worker()

    async def stop(self) -> None:
        self._worker.stop()
        self._server.close()
        await self.log.stop()

    async def read(self, partition: int, count: int) -> list[int]:
        while len(self._offsets[partition]) < count:
            await self._hear()
        offsets, self._offsets[partition] = self._offsets[partition], []
        return offsets

    async def hold(self, partition: int, held: bool) -> None:
        await self._ask("hold", partition, held)

    async def release(self, partition: int, watermark: int) -> None:
        await self._ask("release", partition, watermark)
        await self._ask("commit", partition)

    async def committed(self) -> dict[int, int]:
        async with open_admin(self._kafka) as admin:
            offsets = await admin.list_consumer_group_offsets(f"{self._prefix}workers")
        return {
            place.partition: found.offset
            for place, found in offsets.items()
            if place == TopicPartition(self.topic, place.partition) and found.offset >= 0
        }

    async def succeed(self) -> None:
        assert self._worker.stop() == 0, self._worker.log
        await self._start_worker()

    async def _start_worker(self) -> None:
        self._offsets = {}
        self._worker.start()
        connection = asyncio.wait_for(self._connections.get(), PATIENCE_S)
        self._reader, self._writer = await connection
        while len(self._offsets) < PARTITIONS:
            await self._hear()

    async def _ask(self, command: str, partition: int, value: int = 0) -> None:
        request = {"command": command, "partition": partition, "value": value}
        self._writer.write(json.dumps(request).encode() + b"\n")
        self._asked += 1
        while self._obeyed < self._asked:
            await self._hear()

    async def _hear(self) -> None:
        line = await asyncio.wait_for(self._reader.readline(), PATIENCE_S)
        assert line, self._worker.log
        match json.loads(line):
            case {"opened": partition}:
                self._offsets[partition] = []
            case {"partition": partition, "offsets": offsets}:
                self._offsets[partition] += offsets
            case {"obeyed": _}:
                self._obeyed += 1
