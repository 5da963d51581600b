"""A client's producer, opened again when it died, and delivery in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable, PayloadInvalid, StreamsError
from streams.wire import producer as wire
from streams.wire.closing import close_consumer
from streams.wire.envelope import Envelope, encode
from streams.wire.outbox import Outbox, Sending
from streams.wire.partition import partition_of

Encoded = tuple[bytes, bytes, list[tuple[str, bytes]]]


@dataclass(slots=True)
class _Question:
    """One that several callers wait for."""

    asking: asyncio.Task[int]
    waiting: int = 0


class Delivery:
    """Puts envelopes on topics; `timeout_ms` bounds each call."""

    def __init__(
        self,
        bootstrap: str | list[str],
        client_id: str,
        *,
        timeout_ms: int,
        kafka: Mapping[str, Any],
    ) -> None:
        self.timeout_ms = timeout_ms
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._closed = True
        self._outbox = Outbox(self.producer)
        self._asked: dict[tuple[AIOKafkaProducer, str], _Question] = {}  # for a topic's partitions
        self._partition_of = lru_cache(maxsize=50_000)(partition_of)

    async def open(self, *, late: bool = False) -> None:
        """Connect; `late`: when something is to be sent.

        Raises:
            BrokerUnavailable: no broker answered in time.
        """
        self._closed = False
        if not late:
            await self.producer()

    async def close(self) -> None:
        """Send what is buffered, then disconnect; a broker that is down does not hold this up."""
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.timeout_ms / 1000):
                await self._outbox.flush()
        self._closed = True
        producer, self._producer = self._producer, None
        if producer is not None:
            spent = int((time.monotonic() - began) * 1000)
            await wire.close_producer(producer, max(0, self.timeout_ms - spent))

    async def producer(self) -> AIOKafkaProducer:
        """The producer; a new one if the last one has died."""
        if self._closed:
            raise StreamsError(
                "this JobClient is not open: use `async with JobClient(...) as jobs:`"
            )
        if self._producer is not None and not wire.is_broken(self._producer):
            return self._producer
        async with self._opening:
            if self._producer is not None and wire.is_broken(self._producer):
                await wire.abandon_producer(self._producer)
                self._producer = None
            if self._producer is None:
                self._producer = await wire.open_producer(
                    self._bootstrap, self._client_id, timeout_ms=self.timeout_ms, **self._kafka
                )
            return self._producer

    async def require(self, *topics: str, job_id: str | None) -> None:
        """Nothing, if all these topics exist.

        Raises:
            TopicMismatch: one does not.
            BrokerUnavailable: the broker did not say in time.
        """
        try:
            async with asyncio.timeout(self.timeout_ms / 1000):
                producer = await self.producer()
                for topic in topics:
                    await wire.partitions_for(producer, topic)
        except (TimeoutError, KafkaError) as error:
            raise self._no_answer(error, job_id) from error
        except BrokerUnavailable as error:
            raise BrokerUnavailable(str(error), job_id=job_id) from error

    async def deliver(self, items: Sequence[tuple[str, Envelope]]) -> list[int]:
        """Send all to their topics, in order; the partition of each once all are acknowledged.

        Raises:
            BrokerUnavailable: not acknowledged in time; names the first job that was not.
            PayloadTooLarge: a topic refuses a record of this size.
            TopicMismatch: there is no such topic.
        """
        encoded = [_encoded(envelope) for _, envelope in items]
        sending = Sending(len(items))
        # An idempotent send never gives up by itself, so the clock is ours.
        until = asyncio.get_running_loop().time() + self.timeout_ms / 1000
        try:
            counts = await self._partition_counts({topic for topic, _ in items}, until)
            partitions: list[int] = []
            for index, (key, value, headers) in enumerate(encoded):
                topic, envelope = items[index]
                # What has no key is spread by its id, which does not come again.
                place = partition_of if envelope.key is None else self._partition_of
                partitions.append(place(key, counts[topic]))
                self._outbox.put((topic, partitions[-1]), sending, index, key, value, headers)
            self._outbox.bound(sending, until)
            await sending.over
        except (TimeoutError, KafkaError) as error:
            topic, _ = items[sending.refused or 0]
            size = len(encoded[sending.refused or 0][1])
            first = items[sending.first_open][1].id
            raise wire.refusal(error, topic, size, self.timeout_ms, first) from error
        except BrokerUnavailable as error:
            first = items[sending.first_open][1].id
            raise BrokerUnavailable(str(error), job_id=first) from error
        finally:
            sending.give_up()
        return partitions

    async def _partition_counts(self, topics: set[str], until: float) -> dict[str, int]:
        """How many partitions each of these topics has."""
        producer = self._producer
        if not self._closed and producer is not None and not wire.is_broken(producer):
            known = {topic: wire.known_partitions(producer, topic) for topic in topics}
            if all(known.values()):
                return known
        async with asyncio.timeout_at(until):
            producer = await self.producer()
            return {topic: await self._look_up(producer, topic) for topic in topics}

    async def _look_up(self, producer: AIOKafkaProducer, topic: str) -> int:
        """One question for all who ask at the same time: thousands would keep the broker busy."""
        of = (producer, topic)
        question = self._asked.get(of)
        if question is None:
            asking = asyncio.create_task(wire.partitions_for(producer, topic))
            question = self._asked[of] = _Question(asking)
        question.waiting += 1
        try:
            return await asyncio.shield(question.asking)
        finally:
            question.waiting -= 1
            if not question.waiting:  # it is answered, or all have given up: it must not go on
                question.asking.cancel()
                self._asked.pop(of, None)

    async def append(
        self, topic: str, *, key: bytes, value: bytes | None, partition: int, job_id: str | None
    ) -> None:
        """Write one record to a partition that is known; None removes what has its key.

        Raises:
            BrokerUnavailable: not acknowledged in time.
            TopicMismatch: there is no such topic.
        """
        await self.require(topic, job_id=job_id)
        await wire.send(
            await self.producer(),
            topic,
            key=key,
            value=value,
            partition=partition,
            timeout_ms=self.timeout_ms,
            job_id=job_id,
        )

    async def ends(self, topic: str) -> dict[int, int]:
        """Where each partition of a topic ends.

        Raises:
            BrokerUnavailable: the broker did not say in time.
            TopicMismatch: there is no such topic.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, client_id=self._client_id, **self._kafka
        )
        try:
            async with asyncio.timeout(self.timeout_ms / 1000):
                count = await wire.partitions_for(await self.producer(), topic)
                await consumer.start()
                places = [TopicPartition(topic, partition) for partition in range(count)]
                ends = await consumer.end_offsets(places)
        except (TimeoutError, KafkaError) as error:
            raise self._no_answer(error, None) from error
        finally:
            await close_consumer(consumer)
        return {place.partition: end for place, end in ends.items()}

    def _no_answer(self, error: BaseException, job_id: str | None) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"Kafka at {self._bootstrap} did not answer within {self.timeout_ms} ms: "
            f"{str(error) or 'no answer'}",
            job_id=job_id,
        )


def _encoded(envelope: Envelope) -> Encoded:
    try:
        return encode(envelope)
    except UnicodeEncodeError as error:
        raise PayloadInvalid(
            f"{envelope.name}: id, key or metadata is not valid Unicode: {error}", field="id"
        ) from error
