"""Reads the topics into the file, for ever: through outages, and from the start if it must."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import StreamsError
from streams.projection.batch import Batch, Place, Reader, roles_of
from streams.projection.board import Board
from streams.projection.file import now_ms
from streams.projection.kafka import ANSWER_S, ends_of, look, make_consumer
from streams.projection.keeping import Keeper
from streams.projection.kinds import Kinds
from streams.projection.own_file import Outdated, OwnFile
from streams.projection.placing import assign
from streams.projection.progress import Partition, Progress
from streams.projection.reading import Duties, Reading
from streams.projection.retention import Floors, Retention
from streams.projection.row import Row
from streams.projection.store import Store
from streams.projection.turns import Turns
from streams.wire.closing import close_consumer
from streams.wire.lookup import look_up
from streams.wire.topics import TopicNames

logger = logging.getLogger(__name__)
T = TypeVar("T")

_AGAIN_S: Final = (0.5, 1.0, 2.0, 5.0)


_EXPECTED: Final = (
    *(KafkaError, StreamsError, OSError, TimeoutError, sqlite3.Error),
    asyncio.CancelledError,  # what waits on a connection that is lost may be cancelled
)


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
        on_rows: Callable[[Sequence[Row], Kinds], None] | None = None,
        kafka: Mapping[str, Any] | None = None,
    ) -> None:
        self.names = names
        self.queues = tuple(queues)
        self.path = path
        self.board = Board(names)
        self.floors: Floors = {}
        self.is_connected = False
        self.missing: tuple[str, ...] = ()  # topics that are not there
        self.opened = asyncio.Event()  # there is a file to read from
        self.records = 0  # that were read since the start
        self._bootstrap = bootstrap
        self._on_rows = on_rows or (lambda rows, kinds: None)
        self._kafka = kafka or {}
        self._writer = ThreadPoolExecutor(1, "projection")
        self._store: Store | None = None
        self._file = OwnFile(path, self.queues)
        self._keeper = Keeper(names, self.queues, retention or Retention())
        self._consumer: AIOKafkaConsumer | None = None
        self._is_outdated = False  # this connection does not read all topics that there are
        self._progress = Progress()
        self._moved = asyncio.Condition()
        self._roles = roles_of(names, self.queues)

    @property
    def generation(self) -> int:
        """Rises when the file is another one: who reads it opens it again then."""
        return self._file.generation

    @property
    def lag(self) -> int:
        """Records that are there and not read yet, as far as is known."""
        return self._progress.lag

    @property
    def share(self) -> float:
        """How much of the topics was read, from 0 to 1."""
        return self._progress.share

    @property
    def is_built(self) -> bool:
        """Whether all is in it that was there when it was begun."""
        return self._progress.is_built

    def spoil(self, generation: int) -> None:
        """Who read the file found it torn: it is made anew, unless it is another one by now."""
        if generation == self.generation:
            self._file.spoil()

    async def run(self) -> None:
        """Read until cancelled; an outage is waited for, and told once."""
        failures = 0
        try:
            while True:
                try:
                    await self._connected()
                except (Exception, asyncio.CancelledError) as error:
                    if _is_told_to_end(error):
                        raise
                    failures = 0 if self.is_connected else failures
                    self.is_connected = False
                    self._tell(error, failures)
                    await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
                    failures += 1
        finally:
            self.is_connected = False
            self._writer.shutdown()

    def _tell(self, error: BaseException, failures: int) -> None:
        """Say why it does not go on now; of an outage only that it began."""
        is_torn = isinstance(error, sqlite3.DatabaseError)
        if is_torn and not isinstance(error, sqlite3.OperationalError):
            self._file.spoil()
        if not isinstance(error, _EXPECTED):
            logger.error("the projection failed by a mistake of its own", exc_info=error)
        elif failures == 0 or isinstance(error, Outdated):
            logger.warning(
                "the projection can't go on: %s; trying again", str(error) or repr(error)
            )

    async def _connected(self) -> None:
        async with asyncio.timeout(ANSWER_S * 2):
            wanted = [*self._roles, *self.board.topics]
            cluster, partitions = await look(self._bootstrap, wanted, self._kafka)
        self.missing = tuple(topic for topic in wanted if topic not in partitions)
        if self.missing:
            told = ", ".join(self.missing[:3])
            logger.warning("topics are missing, which others are read without: %s", told)
        store, is_another = await self._in_writer(self._file.open, f"{cluster} {self.names.prefix}")
        self._store = store
        if is_another:
            self._progress.start_anew()
            self.board.forget()
        try:
            consumer = make_consumer(self._bootstrap, self._kafka)
            try:
                async with asyncio.timeout(ANSWER_S * 2):
                    await consumer.start()
                    places = await self._begin(consumer, partitions)
                self._consumer, self._is_outdated = consumer, False
                self.is_connected = True
                self.opened.set()
                await self._tell_moved()
                without_jobs = [
                    (topic, number)
                    for topic in self.board.topics
                    for number in range(partitions.get(topic, 0))
                ]
                turns = Turns(places, self._progress.left, without_jobs)
                reader = Reader(self._roles, places, partitions)
                await Reading(consumer, reader, turns, self._duties(consumer)).run()
            finally:
                self._consumer = None
                await close_consumer(consumer)
        finally:
            await self._in_writer(store.close)

    async def _begin(
        self, consumer: AIOKafkaConsumer, partitions: Mapping[str, int]
    ) -> dict[Partition, Place]:
        """Place the consumer where the file goes on; a topic that was made anew starts all anew."""
        assert self._store is not None
        places = await self._in_writer(self._store.places)
        try:
            bounds = await assign(consumer, partitions, places)
        except Outdated:
            self._file.spoil()
            raise
        ends = {of: bound.end for of, bound in bounds.items() if of[0] in self._roles}
        self._keeper.begin(ends, now_ms())
        for of, (begin, end) in bounds.items():
            if of[0] in self._roles:
                kept = places.get(of)
                position = begin if kept is None else max(kept.position, begin)
                self._progress.begin(position, begin, end, of)
            else:
                position = self.board.begin(of, begin, end)
            consumer.seek(TopicPartition(*of), position)
        return places

    def _duties(self, consumer: AIOKafkaConsumer) -> Duties:
        async def look() -> None:
            self._is_outdated = self._is_outdated or await self._has_come(consumer)

        def check() -> None:
            if self._is_outdated:
                raise Outdated("a topic that was missing is there")

        return Duties(
            take=partial(self._take, consumer),
            write=self._write,
            keep=partial(self._keep, consumer),
            look=look,
            check=check,
        )

    def _take(
        self, consumer: AIOKafkaConsumer, found: Mapping[Any, Any], reader: Reader, batch: Batch
    ) -> int:
        """Put records where they belong; how many it were."""
        number = 0
        for place, records in found.items():
            number += len(records)
            if place.topic in self._roles:
                reader.read(records, batch)
                high = consumer.highwater(place)
                if high is not None:
                    self._progress.ends_at((place.topic, place.partition), high)
            else:
                for record in records:
                    self.board.take(record)
        self.records += number
        return number

    async def _write(self, batch: Batch) -> None:
        assert self._store is not None
        rows = await self._in_writer(self._store.apply, batch)
        for of, (position, _) in batch.places.items():
            self._progress.moved(of, position)
        self._publish(self._store, rows)
        await self._tell_moved()

    async def _tell_moved(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _keep(self, consumer: AIOKafkaConsumer, is_idle: bool) -> bool:
        """Do what is to be done beside reading; whether that was all."""
        store, progress = self._store, self._progress
        assert store is not None
        await self._in_writer(self._file.check)
        commits, now = dict(store.commits), now_ms()
        ends = await ends_of(consumer, progress.positions)
        if any(progress.positions[of] > end for of, end in ends.items()):
            raise Outdated("a topic was made anew")
        for of, end in ends.items():
            progress.ends_at(of, end)
            if is_idle:  # a position moves past what compaction has left, also without a record
                progress.moved(of, await consumer.position(TopicPartition(*of)))
        await self._tell_moved()
        kept = await self._in_writer(self._keeper.keep, store, progress, commits, ends, now)
        self.floors = kept.floors
        self._publish(store, kept.rows)
        return kept.is_done

    def _publish(self, store: Store, rows: Sequence[Row]) -> None:
        """Pass on what has changed; nothing is written meanwhile."""
        if rows:
            self._on_rows(rows, Kinds.of_writer(store.kinds, store.errors))

    async def _has_come(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether a topic is there that was missing."""
        return bool(await look_up(consumer, self.missing))

    async def _next_connection(self, before: AIOKafkaConsumer) -> AIOKafkaConsumer:
        """Begin again, with the topics that are there by now."""
        if self._consumer is before:
            self._is_outdated = True
        async with self._moved:
            await self._moved.wait_for(lambda: self._consumer not in (None, before))
        return self._consumer

    async def reach_end(self, timeout_s: float) -> bool:
        """Whether all that is in the topics at this moment is in the file, within so long."""
        consumer = self._consumer
        if consumer is None:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                while await self._has_come(consumer):
                    consumer = await self._next_connection(consumer)
                ends = await ends_of(consumer, list(self._progress.positions))
                async with self._moved:
                    await self._moved.wait_for(lambda: self._progress.has_reached(ends))
        except (TimeoutError, KafkaError):
            return False
        except asyncio.CancelledError as error:
            if _is_told_to_end(error):
                raise
            return False
        return True

    async def _in_writer(self, work: Callable[..., T], *arguments: Any) -> T:
        """Have it done beside the loop; whoever is cancelled waits until it is."""
        loop = asyncio.get_running_loop()
        doing = loop.run_in_executor(self._writer, lambda: work(*arguments))
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            raise


def _is_told_to_end(error: BaseException) -> bool:
    """Whether it was cancelled by whoever runs it, and not for a connection that was lost."""
    task = asyncio.current_task()
    is_cancelled = isinstance(error, asyncio.CancelledError)
    return is_cancelled and task is not None and task.cancelling() > 0
