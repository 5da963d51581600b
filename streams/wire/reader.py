"""Whole topics, read with a consumer of one's own: up to their end as it is now, or on from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable, TopicMismatch
from streams.wire.admin import open_admin
from streams.wire.closing import close_consumer
from streams.wire.envelope import Record
from streams.wire.lookup import look_up

_POLL_MS: Final = 100


async def partition_counts(
    bootstrap: str,
    of: Collection[str] | None = None,
    *,
    timeout_ms: int = 10_000,
    kafka: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Every topic that exists, or those of some, with the number of partitions; creates none.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
    """
    async with open_admin(bootstrap, timeout_ms=timeout_ms, kafka=kafka) as admin:
        if of is not None:
            found = await look_up(admin, of)
            return {topic: len(partitions) for topic, partitions in found.items()}
        topics = await admin.describe_topics()
    return {t["topic"]: len(t["partitions"]) for t in topics if t["error_code"] == 0}


async def partition_count(bootstrap: str, topic: str, *, timeout_ms: int = 10_000) -> int:
    """How many partitions a topic of ours has.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
        TopicMismatch: there is no such topic.
    """
    counts = await partition_counts(bootstrap, [topic], timeout_ms=timeout_ms)
    if topic not in counts:
        raise missing(topic)
    return counts[topic]


def missing(topic: str) -> TopicMismatch:
    """A topic is not there."""
    return TopicMismatch(
        f"there is no topic {topic}: create it with `streams topics apply`, or correct "
        "STREAMS_PREFIX"
    )


async def read_topics(bootstrap: str, topics: Sequence[str]) -> AsyncIterator[Record]:
    """What is there now in those of `topics` that exist, in no order between partitions.

    Raises:
        BrokerUnavailable: the broker did not answer, or stopped answering.
        TopicMismatch: none of them exists.
    """
    counts = await partition_counts(bootstrap, topics)
    there = {topic: counts[topic] for topic in topics if topic in counts}
    if not there:
        raise missing(topics[0])
    async with open_reader(bootstrap, there) as reader:
        async for record in reader.to_end():
            yield record


class Stretch(NamedTuple):
    """A part of a partition, by offsets."""

    topic: str
    partition: int
    begin: int  # of what the partition has kept
    start: int
    end: int  # behind the last one


class TopicReader:
    """Reads all partitions of some topics, oldest first in each."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        places: Sequence[TopicPartition],
        bootstrap: str | list[str],
        timeout_ms: int,
    ) -> None:
        self._consumer = consumer
        self._places = places
        self._bootstrap = bootstrap
        self._timeout_ms = timeout_ms
        self.timeout_s = timeout_ms / 1000

    async def seek_to_end(self) -> None:
        """Go on with what is written from now on."""
        for place, end in (await self._ends()).items():
            self._consumer.seek(place, end)

    async def seek_between(self, since: int | None, until: int | None) -> list[Stretch]:
        """Go to where records of these times begin; what there is of them (ms since the epoch).

        All that are not older than `since` are in it, and younger ones among them: the times are
        their senders', whose clocks differ. None: from the first, to the last one.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
        """
        places = self._places
        try:
            async with asyncio.timeout(self.timeout_s):
                ends = await self._consumer.end_offsets(places)
                begins = await self._consumer.beginning_offsets(places)
                starts = await self._offsets_at(since, begins, ends)
                limits = await self._offsets_at(until, ends, ends)
        except (TimeoutError, KafkaError) as error:
            raise self.unavailable(str(error) or "no answer") from error
        for place in places:
            self._consumer.seek(place, starts[place])
        return [
            Stretch(
                topic=place.topic,
                partition=place.partition,
                begin=begins[place],
                start=starts[place],
                end=max(starts[place], limits[place]),
            )
            for place in places
        ]

    async def _offsets_at(
        self,
        time: int | None,
        without: dict[TopicPartition, int],
        ends: dict[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        if time is None:
            return without
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._places, time))
        return {place: ends[place] if at is None else int(at.offset) for place, at in found.items()}

    async def to_end(self, of: Sequence[Stretch] | None = None) -> AsyncIterator[Record]:
        """What is there now, and no more; or each stretch to its end.

        Raises:
            BrokerUnavailable: the broker stopped answering for the time-out.
        """
        if of is None:
            ends = await self._ends()
        else:
            ends = {TopicPartition(each.topic, each.partition): each.end for each in of}
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while open_ends := {p: end for p, end in ends.items() if await self.position(p) < end}:
            records = await self.more(*open_ends)
            for record in records:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
            if records:
                heard = loop.time()
            elif loop.time() - heard > self.timeout_s:
                raise self.unavailable("it stopped answering")

    def ask_only(self, places: Collection[TopicPartition]) -> None:
        """Fetch of these alone: what is fetched of others, and not taken, holds up all."""
        others = [place for place in self._places if place not in places]
        self._consumer.pause(*others)
        self._consumer.resume(*places)

    async def start(self, topic: str, partition: int) -> int:
        """The first offset of a partition that there is.

        Raises:
            BrokerUnavailable: the broker did not answer within the time-out.
        """
        return await self._ask(self._consumer.beginning_offsets, TopicPartition(topic, partition))

    async def end(self, topic: str, partition: int) -> int:
        """The offset behind the last one of a partition.

        Raises:
            BrokerUnavailable: the broker did not answer within the time-out.
        """
        return await self._ask(self._consumer.end_offsets, TopicPartition(topic, partition))

    async def offset_at(self, topic: str, partition: int, time: int) -> int:
        """The offset of the first record at or after a time (ms since the epoch); or the end.

        Raises:
            BrokerUnavailable: the broker did not answer within the time-out.
        """
        place = TopicPartition(topic, partition)

        async def ask(places: list[TopicPartition]) -> dict[TopicPartition, int]:
            found = (await self._consumer.offsets_for_times({place: time}))[place]
            if found is not None:
                return {place: int(found.offset)}
            ends: dict[TopicPartition, int] = await self._consumer.end_offsets(places)
            return ends

        return await self._ask(ask, place)

    async def _ask(
        self,
        question: Callable[[list[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]],
        place: TopicPartition,
    ) -> int:
        try:
            async with asyncio.timeout(self.timeout_s):
                return int((await question([place]))[place])
        except (TimeoutError, KafkaError) as error:
            raise self.unavailable(str(error) or "no answer") from error

    async def partition_to_end(
        self, topic: str, partition: int, start: int = 0, end: int | None = None
    ) -> AsyncIterator[list[Record]]:
        """One partition, from an offset on to its end as it is now; then the reader has no other.

        `end`: to there, and no further.

        Raises:
            BrokerUnavailable: the broker stopped answering for the time-out.
        """
        place = TopicPartition(topic, partition)
        self._places = [place]
        self._consumer.assign([place])
        if end is None:
            end = (await self._ends())[place]
        self._consumer.seek(place, start)
        loop = asyncio.get_running_loop()
        heard = loop.time()
        # A position moves past what compaction has left of the end, also if there is no record.
        while await self.position(place) < end:
            records = [record for record in await self.more(place) if record.offset < end]
            if records:
                yield records
                heard = loop.time()  # whoever reads may take his time
            elif loop.time() - heard > self.timeout_s:
                raise self.unavailable("it stopped answering")
        self._consumer.pause(place)  # or every question waits for an answer about its end

    async def more(self, *places: TopicPartition) -> list[Record]:
        """What comes within a moment; of all places, or of these."""
        found = await self._consumer.getmany(*places, timeout_ms=_POLL_MS)
        return [
            Record(
                topic=r.topic,
                partition=r.partition,
                offset=r.offset,
                timestamp=r.timestamp,
                key=r.key,
                value=r.value,
                headers=tuple(r.headers),
            )
            for records in found.values()
            for r in records
        ]

    async def position(self, place: TopicPartition) -> int:
        """The offset of what is read next."""
        return int(await self._consumer.position(place))

    async def _ends(self) -> dict[TopicPartition, int]:
        """Asked topic by topic, in the order given: a job moves from one topic to a later one."""
        ends: dict[TopicPartition, int] = {}
        try:
            async with asyncio.timeout(self.timeout_s):
                for topic in dict.fromkeys(place.topic for place in self._places):
                    ours = [place for place in self._places if place.topic == topic]
                    ends.update(await self._consumer.end_offsets(ours))
        except (TimeoutError, KafkaError) as error:
            raise self.unavailable(str(error) or "no answer") from error
        return ends

    def unavailable(self, why: str) -> BrokerUnavailable:
        """What is raised if Kafka does not answer."""
        return BrokerUnavailable(
            f"Kafka at {self._bootstrap} could not be read within {self._timeout_ms} ms: {why}"
        )


@asynccontextmanager
async def open_reader(
    bootstrap: str | list[str],
    partitions: Mapping[str, int],
    *,
    timeout_ms: int = 10_000,
    kafka: Mapping[str, Any] | None = None,
) -> AsyncIterator[TopicReader]:
    """A reader of `partitions` (topic to number), placed at their beginnings.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=_POLL_MS,
        request_timeout_ms=max(1_000, timeout_ms),
        **(kafka or {}),
    )
    try:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await consumer.start()
        except (TimeoutError, KafkaError, OSError) as error:
            raise BrokerUnavailable(
                f"no Kafka broker answered at {bootstrap} within {timeout_ms} ms: "
                "is it running, and is the address right?"
            ) from error
        places = [TopicPartition(t, p) for t, count in partitions.items() for p in range(count)]
        consumer.assign(places)
        yield TopicReader(consumer, places, bootstrap, timeout_ms)
    finally:
        await close_consumer(consumer)
