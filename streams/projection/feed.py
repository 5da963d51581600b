"""Reads the topics into the file, for ever: through outages, and from the start if it must."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import StreamsError
from streams.projection.batch import LEDGER, QUEUE, RETRY, Batch, Place, Reader
from streams.projection.board import Board
from streams.projection.file import now_ms, open_store, remove
from streams.projection.retention import Retention
from streams.projection.row import Row
from streams.projection.store import Store
from streams.wire.admin import open_admin
from streams.wire.reader import missing
from streams.wire.topics import TopicNames

logger = logging.getLogger(__name__)

_POLL_MS: Final = 100
_AT_ONCE: Final = 8_000  # records in one transaction
_FETCH_BYTES: Final = 512 * 1024  # of a partition
_KEEP_EVERY_S: Final = 5.0
_AGAIN_S: Final = (0.5, 1.0, 2.0, 5.0)
_CLOSE_S: Final = 2.0
_ANSWER_S: Final = 10.0


class Vanished(StreamsError):
    """The file of a projection was removed or replaced while it was in use."""


class Feed:
    """One projection: `run` keeps it up to its topics until it is cancelled."""

    def __init__(
        self,
        bootstrap: str,
        names: TopicNames,
        queues: Sequence[str],
        path: Path,
        *,
        retention: Retention | None = None,
        on_rows: Callable[[Sequence[Row]], None] | None = None,
        kafka: Mapping[str, Any] | None = None,
    ) -> None:
        self.names = names
        self.queues = tuple(queues)
        self.path = path
        self.board = Board(names)
        self.floors: dict[tuple[str, bool], int] = {}
        self.is_connected = False
        self.is_built = False  # it was up to date at least once
        self.opened = asyncio.Event()  # there is a file to read from
        self.generation = 0  # rises when the file is another one
        self._bootstrap = bootstrap
        self._retention = retention or Retention()
        self._on_rows = on_rows or (lambda rows: None)
        self._kafka = kafka or {}
        self._writer = ThreadPoolExecutor(1, "projection")
        self._store: Store | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[tuple[str, int], int] = {}  # written
        self._ends: dict[tuple[str, int], int] = {}
        self._begins: dict[tuple[str, int], int] = {}
        self._moved = asyncio.Condition()
        self._roles = {
            topic: (queue, source)
            for queue in self.queues
            for topic, source in (
                (names.queue(queue), QUEUE),
                (names.retry(queue), RETRY),
                (names.ledger(queue), LEDGER),
            )
        }

    @property
    def lag(self) -> int:
        """Records that are there and not read yet, as far as is known."""
        return sum(
            max(0, end - max(self._positions.get(key, 0), self._begins.get(key, 0)))
            for key, end in self._ends.items()
        )

    @property
    def share(self) -> float:
        """How much of the topics was read, from 0 to 1."""
        there = sum(max(0, end - self._begins.get(key, 0)) for key, end in self._ends.items())
        return 1.0 if there == 0 else max(0.0, 1 - self.lag / there)

    async def run(self) -> None:
        """Read until cancelled; an outage is waited for, and told once."""
        failures, told = 0, ""
        try:
            while True:
                try:
                    await self._connected()
                except (KafkaError, StreamsError, OSError, sqlite3.Error, TimeoutError) as error:
                    if self.is_connected:
                        failures, told = 0, ""
                    if str(error) != told:
                        logger.warning("the projection can't go on: %s; trying again", error)
                    told = str(error)
                    self.is_connected = False
                    await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
                    failures += 1
        finally:
            self._writer.shutdown()

    async def _connected(self) -> None:
        async with asyncio.timeout(_ANSWER_S * 2):
            source, partitions = await self._look()
            self._store = await self._in_writer(open_store, self.path, source, now_ms())
            places = await self._in_writer(self._store.places)
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                fetch_max_wait_ms=_POLL_MS,
                max_partition_fetch_bytes=_FETCH_BYTES,
                request_timeout_ms=int(_ANSWER_S * 1000),
                **self._kafka,
            )
        try:
            async with asyncio.timeout(_ANSWER_S * 2):
                await consumer.start()
                places = await self._begin(consumer, partitions, places)
            self._consumer = consumer
            self.is_connected = True
            self.generation += 1
            self.opened.set()
            await self._read(consumer, Reader(self._roles, places), partitions)
        finally:
            self._consumer = None
            await self._in_writer(self._store.close)
            with suppress(Exception):
                async with asyncio.timeout(_CLOSE_S):
                    await consumer.stop()

    async def _look(self) -> tuple[str, dict[str, int]]:
        """What the file is of, and the topics to read with their partitions."""
        async with open_admin(
            self._bootstrap, timeout_ms=int(_ANSWER_S * 1000), kafka=self._kafka
        ) as admin:
            cluster = await admin.describe_cluster()
            there = {
                topic["topic"]: len(topic["partitions"])
                for topic in await admin.describe_topics()
                if topic["error_code"] == 0
            }
        wanted = [*self._roles, *self.board.topics]
        for topic in wanted:
            if topic not in there:
                raise missing(topic)
        source = f"{cluster.get('cluster_id')} {self.names.prefix}"
        return source, {topic: there[topic] for topic in wanted}

    async def _begin(
        self,
        consumer: AIOKafkaConsumer,
        partitions: Mapping[str, int],
        places: dict[tuple[str, int], Place],
    ) -> dict[tuple[str, int], Place]:
        """Place the consumer where the file goes on; a topic that was made anew starts all anew."""
        all_ = [TopicPartition(t, p) for t, count in partitions.items() for p in range(count)]
        consumer.assign(all_)
        ends = await consumer.end_offsets(all_)
        begins = await consumer.beginning_offsets(all_)
        if any(place.position > ends.get(TopicPartition(*key), 0) for key, place in places.items()):
            logger.warning("a topic was made anew: the projection is, too")
            await self._in_writer(self._restart)
            places = {}
        for tp in all_:
            kept = places.get((tp.topic, tp.partition))
            position = begins[tp] if kept is None else max(kept.position, begins[tp])
            consumer.seek(tp, position)
            if tp.topic in self._roles:
                key = (tp.topic, tp.partition)
                self._positions[key], self._ends[key] = position, ends[tp]
                self._begins[key] = begins[tp]
        return places

    def _restart(self) -> None:
        assert self._store is not None
        source = self._store.noted("source") or ""
        self._store.close()
        remove(self.path)
        self._store = open_store(self.path, source, now_ms())

    async def _read(
        self, consumer: AIOKafkaConsumer, reader: Reader, partitions: Mapping[str, int]
    ) -> None:
        """Read batch by batch; while one is written the next one is read."""
        written: asyncio.Task[None] | None = None
        keep_at = time.monotonic()
        try:
            while True:
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
                batch = Batch()
                for tp, records in found.items():
                    if tp.topic in self._roles:
                        reader.read(records, batch)
                        high = consumer.highwater(tp)
                        if high is not None:
                            self._ends[tp.topic, tp.partition] = high
                    else:
                        for record in records:
                            self.board.take(record)
                if written is not None:
                    await written
                    written = None
                if batch.records:
                    written = asyncio.create_task(self._write(batch))
                elif not found:
                    await self._note_idle(consumer)
                if time.monotonic() >= keep_at:
                    await self._keep(consumer)
                    keep_at = time.monotonic() + _KEEP_EVERY_S
        finally:
            if written is not None:
                await asyncio.wait([written])

    async def _write(self, batch: Batch) -> None:
        assert self._store is not None
        rows = await self._in_writer(self._store.apply, batch)
        for key, (position, _) in batch.places.items():
            self._positions[key] = position
        self._on_rows(rows)
        async with self._moved:
            self._moved.notify_all()

    async def _note_idle(self, consumer: AIOKafkaConsumer) -> None:
        """A position moves past what compaction has left of an end, also without a record."""
        for key, position in self._positions.items():
            self._positions[key] = max(position, await consumer.position(TopicPartition(*key)))
        self.is_built = self.is_built or self.lag == 0
        async with self._moved:
            self._moved.notify_all()

    async def _keep(self, consumer: AIOKafkaConsumer) -> None:
        """Note what is over without a record, and forget what is not needed."""
        store = self._store
        assert store is not None
        if not self.path.exists():
            raise Vanished(f"{self.path} was removed: it is made anew")
        commits = dict(store.commits)
        ledgers = [
            TopicPartition(self.names.ledger(queue), partition) for queue, partition in commits
        ]
        ends = await consumer.end_offsets(ledgers) if ledgers else {}
        for (queue, partition), commit in commits.items():
            ledger = TopicPartition(self.names.ledger(queue), partition)
            if self._positions.get((ledger.topic, partition), 0) >= ends[ledger]:
                await self._in_writer(store.sweep, queue, partition, commit)
        now = now_ms()
        self.floors = await self._in_writer(store.forget, self._retention, now)
        await self._in_writer(store.note, "written", str(now))

    async def reach_end(self, timeout_s: float) -> bool:
        """Whether all that is in the queues at this moment is in the file, within so long."""
        consumer = self._consumer
        if consumer is None:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                queues = {self.names.queue(queue) for queue in self.queues}
                places = [TopicPartition(*key) for key in self._ends if key[0] in queues]
                ends = await consumer.end_offsets(places)
                async with self._moved:
                    await self._moved.wait_for(
                        lambda: all(
                            self._positions.get((tp.topic, tp.partition), 0) >= end
                            for tp, end in ends.items()
                        )
                    )
        except (TimeoutError, KafkaError):
            return False
        return True

    async def _in_writer(self, work: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, work, *arguments)
