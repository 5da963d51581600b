"""The log on Kafka: an idempotent producer of our own, and bounded reads without a group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.protocol.produce import ProduceRequest

from streams.errors import AppendFailed, BrokerUnavailable, LeaseLost
from streams.kafka.tail import Tail
from streams.wire.closing import close_consumer
from streams.wire.envelope import Record
from streams.wire.partition import partition_of
from streams.wire.producer import abandon_producer, close_producer, is_broken, open_producer
from streams.worker.ports import Append

logger = logging.getLogger(__name__)

CLOSE_MS = 2_000
TURN_WITHIN = 30.0  # seconds that a batch waits for those before it
ANSWERED_WITHIN = 15.0  # seconds; a request times out sooner


_Place = tuple[str, int]  # topic, partition


class Permit(Protocol):
    """Whether this process may write."""

    @property
    def is_held(self) -> bool:
        """It may."""
        ...


class Always:
    """For those who own no partition."""

    is_held = True


@dataclass(slots=True, eq=False)
class _Batch:
    """Records for one partition, of one caller; or of all who came while it waited its turn."""

    builder: Any  # aiokafka's
    place: _Place
    count: int = 0
    handing: asyncio.Task[asyncio.Future[Any]] | None = None  # while it waits, or did

    def add(self, record: Append) -> int | None:
        """Add a record; its number in the batch, None if that is full."""
        headers = record.headers if isinstance(record.headers, list) else list(record.headers)
        added = self.builder.append(
            timestamp=None, key=record.key, value=record.value, headers=headers
        )
        if added is None:
            return None
        self.count += 1
        return self.count - 1


class KafkaLog:
    """Appends and reads; open it with `start`, and give it back with `stop`."""

    def __init__(
        self,
        bootstrap: str,
        client_id: str,
        kafka: Mapping[str, Any] | None = None,
        permit: Permit | None = None,
        followed: Collection[str] = (),
    ) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._kafka = dict(kafka or {})
        self._permit: Permit = permit or Always()
        self._producer: AIOKafkaProducer | None = None
        self._is_over = False  # nothing is appended any more
        self._opening = asyncio.Lock()
        self._turns: dict[_Place, asyncio.Lock] = {}
        self._gathering: dict[_Place, _Batch] = {}  # what waits its turn, and can be joined
        self._cached_partition = lru_cache(maxsize=50_000)(partition_of)
        self._reader: AIOKafkaConsumer | None = None
        self._followed = followed  # topics that are read again and again
        self._tails: dict[TopicPartition, Tail] = {}
        self._admin: AIOKafkaAdminClient | None = None

    async def start(self) -> None:
        """Connect."""
        self._producer = await self._open_producer()
        self._reader = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=f"{self._client_id}-ends",
            enable_auto_commit=False,
            **self._kafka,
        )
        await self._reader.start()

    async def stop(self) -> None:
        """Disconnect; what was appended and awaited is durable, the rest is thrown away."""
        if self._producer is not None:
            await close_producer(self._producer, CLOSE_MS)
        for tail in self._tails.values():
            await tail.stop()
        if self._reader is not None:
            await self._reader.stop()
        if self._admin is not None:
            await self._admin.close()

    async def renew(self) -> None:
        """Throw the producer away with all that it still buffers, and open another.

        For a worker that is about to leave its partitions, or may have lost them: nothing of what
        it decided before may be written any more. Returns when what was sent is answered.
        """
        await self._throw_away()
        with contextlib.suppress(LeaseLost):  # it ends meanwhile, and needs none
            await self._usable_producer()

    async def throw_away(self) -> None:
        """As `renew`, for a worker that ends: it writes no more, and its broker may be gone."""
        self._is_over = True
        await self._throw_away()

    async def _throw_away(self) -> None:
        producer, self._producer = self._producer, None
        self._gathering.clear()  # what waits there waits for this producer
        if producer is None:
            return
        producer._closed = True
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(ANSWERED_WITHIN):
                await producer._sender.close()  # waits for the requests that are on their way
        producer._message_accumulator.fail_all(NodeNotReadyError("thrown away"))
        await abandon_producer(producer)

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Write records; returns their offsets once all in-sync replicas have them.

        Raises:
            LeaseLost: this worker may not write now.
            AppendFailed: the broker refused; a part may be written.
        """
        if not self._permit.is_held:
            raise LeaseLost("this worker's session is not certain to go on")
        try:
            producer = await self._usable_producer()
            placed = await self._placed(producer, records)
            batches = dict.fromkeys(batch for batch, _ in placed)
            sent = [await self._hand_over(producer, batch) for batch in batches]
            # All of them are awaited, so that no failure goes unseen; others may wait for the same.
            answers = await asyncio.gather(*map(asyncio.shield, sent), return_exceptions=True)
        except (KafkaError, BrokerUnavailable) as error:
            raise AppendFailed(f"{type(error).__name__}: {error}") from error
        begins: dict[_Batch, int] = {}
        for batch, answer in zip(batches, answers, strict=True):
            if isinstance(answer, KafkaError):
                raise AppendFailed(f"{type(answer).__name__}: {answer}") from answer
            if isinstance(answer, BaseException):
                raise answer
            if answer.offset < 0:  # a repeated request that the broker had taken already
                raise AppendFailed("it is written, but the broker did not say where")
            begins[batch] = answer.offset
        return [begins[batch] + number for batch, number in placed]

    async def _hand_over(self, producer: AIOKafkaProducer, batch: _Batch) -> asyncio.Future[Any]:
        """Give a batch to the producer, which takes the next one once this one is on its way.

        It wakes all who wait for that at once, lets one of them through, and counts the time of
        the others anew from their beginning, each time: sixty of them, and the last ones ran out of
        time within half a second. So one waits there, and the others here, in their order.
        """
        if batch.handing is None:
            if not self._turn_of(batch.place).locked():
                return await self._in_turn(producer, batch)
            # Others may add theirs, and must not be left alone if we are interrupted.
            batch.handing = asyncio.create_task(self._in_turn(producer, batch))
            self._gathering[batch.place] = batch
        return await asyncio.shield(batch.handing)

    async def _in_turn(self, producer: AIOKafkaProducer, batch: _Batch) -> asyncio.Future[Any]:
        topic, partition = batch.place
        try:
            async with asyncio.timeout(TURN_WITHIN), self._turn_of(batch.place):
                self._close(batch)
                answer: asyncio.Future[Any] = await producer.send_batch(
                    batch.builder, topic, partition=partition
                )
                return answer
        except TimeoutError:
            raise AppendFailed(f"{topic}/{partition} took nothing for {TURN_WITHIN} s") from None
        finally:
            self._close(batch)

    def _close(self, batch: _Batch) -> None:
        """Nobody adds to it any more."""
        if self._gathering.get(batch.place) is batch:
            del self._gathering[batch.place]

    def _turn_of(self, place: _Place) -> asyncio.Lock:
        return self._turns.setdefault(place, asyncio.Lock())

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        """Records from `start` up to the end as it is now.

        Raises:
            OSError: the broker does not answer.
        """
        end = await self.end(topic, partition)
        if start >= end:
            return
        place = TopicPartition(topic, partition)
        if topic in self._followed:
            tail = self._tails.setdefault(place, Tail(place, self._new_tail_consumer))
            with _answering():
                async for batch in tail.read(start, end):
                    # What was written since is no concern of who reads up to the end as it was,
                    # but it would be fetched twice if it were left out.
                    yield [to_record(record) for record in batch]
            return
        consumer = self._new_consumer()
        with _answering():
            await consumer.start()
            try:
                consumer.assign([place])
                consumer.seek(place, start)
                while await consumer.position(place) < end:
                    for batch in (await consumer.getmany(timeout_ms=1000)).values():
                        records = [to_record(record) for record in batch if record.offset < end]
                        if records:  # there are none if a gap was last, and more came behind it
                            yield records
            finally:
                await close_consumer(consumer)

    def _new_tail_consumer(self) -> AIOKafkaConsumer:
        return self._new_consumer(fetch_max_wait_ms=1_000)  # it waits for most of its time

    def _new_consumer(self, fetch_max_wait_ms: int = 50) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=f"{self._client_id}-recovery",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=fetch_max_wait_ms,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            **self._kafka,
        )

    async def end(self, topic: str, partition: int) -> int:
        """The offset of the next record.

        Raises:
            OSError: the broker does not answer.
        """
        assert self._reader is not None
        place = TopicPartition(topic, partition)
        with _answering():
            ends = await self._reader.end_offsets([place])
        return int(ends[place])

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        """The offset of the first record at or after `time`.

        Raises:
            OSError: the broker does not answer.
        """
        assert self._reader is not None
        place = TopicPartition(topic, partition)
        with _answering():
            found = (await self._reader.offsets_for_times({place: max(time, 0)}))[place]
        return None if found is None else int(found.offset)

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """Remove all records below `before`.

        Raises:
            AppendFailed: the broker did not do it.
        """
        place = TopicPartition(topic, partition)
        try:
            if self._admin is None:
                admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, **self._kafka)
                await admin.start()
                self._admin = admin
            await self._admin.delete_records({place: RecordsToDelete(before_offset=before)})
        except KafkaError as error:
            raise AppendFailed(f"{type(error).__name__}: {error}") from error

    async def _placed(
        self, producer: AIOKafkaProducer, records: Sequence[Append]
    ) -> list[tuple[_Batch, int]]:
        """Each record's batch and its number in that: an order of magnitude cheaper than alone.

        What waits its turn for a partition is joined: who waits at the same time travels together.
        """
        partitions = [
            await self._partition_of(producer, record)
            if record.partition is None
            else record.partition
            for record in records
        ]
        placed: list[tuple[_Batch, int]] = []
        open_now: dict[_Place, _Batch] = {}
        # Nothing is awaited from here on: a batch that gathers could be on its way meanwhile.
        for record, partition in zip(records, partitions, strict=True):
            place = (record.topic, partition)
            batch = open_now.get(place) or self._gathering.get(place)
            number = None if batch is None else batch.add(record)
            if batch is None or number is None:
                batch = _Batch(producer.create_batch(), place)
                number = batch.add(record) or 0
            open_now[place] = batch
            placed.append((batch, number))
        return placed

    async def _partition_of(self, producer: AIOKafkaProducer, record: Append) -> int:
        partitions = len(await producer.partitions_for(record.topic))
        if record.key is None:
            return random.randrange(partitions)
        return self._cached_partition(record.key, partitions)

    async def _usable_producer(self) -> AIOKafkaProducer:
        """The producer, or another one if its sender has ended, after which it never sends."""
        async with self._opening:
            if self._producer is not None and is_broken(self._producer):
                logger.error("the producer has broken down, and is replaced")
                broken, self._producer = self._producer, None
                self._gathering.clear()
                await abandon_producer(broken)
            if self._producer is None and not self._is_over:
                self._producer = await self._open_producer()
            if self._is_over:  # perhaps since we began
                raise LeaseLost("this worker ends, and writes no more")
            return self._producer

    async def _open_producer(self) -> AIOKafkaProducer:
        producer = await open_producer(self._bootstrap, self._client_id, **self._kafka)
        _guard(producer, self._permit)
        return producer


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """What our callers know to try again, whichever client library is below."""
    try:
        yield
    except KafkaError as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


def _guard(producer: AIOKafkaProducer, permit: Permit) -> None:
    """Let no produce request leave without the permit, whatever is buffered.

    The sender takes the refusal for a node that is not ready, and keeps its batches.
    """
    client = producer.client
    send = client.send

    async def send_if_permitted(node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, ProduceRequest) and not permit.is_held:
            raise NodeNotReadyError("this worker may not write now")
        return await send(node_id, request, **options)

    client.send = send_if_permitted


def to_record(record: Any) -> Record:
    """A record of ours from one of aiokafka's."""
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        record.headers,
    )
