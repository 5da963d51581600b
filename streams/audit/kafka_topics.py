"""What an audit reads, on a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from streams.errors import BrokerUnavailable
from streams.wire.admin import open_admin
from streams.wire.envelope import Record
from streams.wire.reader import TopicReader, missing, open_reader, partition_counts, read_topics
from streams.wire.topics import TopicNames
from streams.worker.control import Control

_AGAIN_S: Final = 0.2


class KafkaTopics:
    """Whole partitions, one after the other, and commits of groups; it writes nothing."""

    def __init__(
        self,
        reader: TopicReader,
        admin: Any,
        names: TopicNames,
        partitions: Mapping[str, int],
        owners: Mapping[str, str],
        timeout_ms: int,
    ) -> None:
        self.partitions = partitions  # of each queue
        self._reader = reader
        self._admin = admin
        self._names = names
        self._timeout_ms = timeout_ms
        self._owners = owners  # of each queue its group, with the prefix

    async def start(self, topic: str, partition: int) -> int:
        """The first offset that there is."""
        return await self._reader.start(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        """The offset behind the last one."""
        return await self._reader.end(topic, partition)

    async def offset_at(self, topic: str, partition: int, time: int) -> int:
        """The offset of the first record at or after a time; the end if there is none."""
        return await self._reader.offset_at(topic, partition, time)

    async def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncIterator[Sequence[Record]]:
        """What there is from `start` on and before `end`."""
        if start < end:
            async for records in self._reader.partition_to_end(topic, partition, start, end):
                yield records

    async def committed(self, queue: str) -> Mapping[int, int]:
        """The commits of the group that a queue belongs to, by partition.

        Raises:
            BrokerUnavailable: nobody said them within the time-out.
        """
        group = self._owners.get(queue)
        if group is None:
            return {}
        found = await self._commits_of(group)
        topic = self._names.queue(queue)
        return {place.partition: at.offset for place, at in found.items() if place.topic == topic}

    async def _commits_of(self, group: str) -> Mapping[TopicPartition, OffsetAndMetadata]:
        """Asked again for a while: a group that is new, or moves, has nobody who knows them yet."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout_ms / 1000
        while True:
            try:
                found: Mapping[TopicPartition, OffsetAndMetadata]
                found = await self._admin.list_consumer_group_offsets(group)
                return found
            except KafkaError as error:
                if loop.time() > until:
                    raise BrokerUnavailable(
                        f"the commits of group {group} could not be read within "
                        f"{self._timeout_ms} ms: {error}"
                    ) from error
                await asyncio.sleep(_AGAIN_S)


@asynccontextmanager
async def open_topics(
    bootstrap: str, prefix: str, queues: Sequence[str], *, timeout_ms: int = 10_000
) -> AsyncIterator[KafkaTopics]:
    """The topics of some queues.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
        TopicMismatch: one of the topics is not there.
    """
    names = TopicNames(prefix)
    wanted = [names.dead, names.control]
    for queue in queues:
        wanted += [names.queue(queue), names.retry(queue), names.ledger(queue)]
        wanted.append(names.commands(queue))
    counts = await partition_counts(bootstrap, wanted, timeout_ms=timeout_ms)
    for topic in wanted:
        if topic not in counts:
            raise missing(topic)
    no_log: Any = None  # what is read here is told to it
    control = Control(no_log, names.control)
    async for record in read_topics(bootstrap, [names.control]):
        control.take(record)
    owners = {queue: control.owner(queue) for queue in queues}
    groups = {queue: f"{prefix}{owner}" for queue, owner in owners.items() if owner is not None}
    async with open_admin(bootstrap, timeout_ms=timeout_ms) as admin:
        there = {topic: counts[topic] for topic in wanted}
        async with open_reader(bootstrap, there, timeout_ms=timeout_ms) as reader:
            partitions = {queue: counts[names.queue(queue)] for queue in queues}
            yield KafkaTopics(reader, admin, names, partitions, groups, timeout_ms)
