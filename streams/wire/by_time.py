"""Records of many partitions in the order of their times, each time the same one."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Sequence

from aiokafka import TopicPartition

from streams.wire.envelope import Record
from streams.wire.reader import Stretch, TopicReader


async def by_time(reader: TopicReader, of: Sequence[Stretch]) -> AsyncIterator[Record]:
    """Stretches to their ends, the oldest record first; those of a partition in their order.

    Of two with the same time, that of the first partition comes first. Of each partition a fetch is
    in memory.

    Raises:
        BrokerUnavailable: the broker stopped answering for the time-out.
    """
    ends = {TopicPartition(each.topic, each.partition): each.end for each in of}
    held: dict[TopicPartition, deque[Record]] = {place: deque() for place in ends}
    heads: list[tuple[int, TopicPartition]] = []  # a heap of the times of those that come next
    lacking = set(ends)  # of which nobody knows yet what comes next
    while lacking or heads:
        await _fill(reader, held, ends, lacking)
        for place in lacking:
            if held[place]:
                heapq.heappush(heads, (held[place][0].timestamp, place))
        lacking.clear()
        while heads and not lacking:
            _, place = heads[0]
            yield held[place].popleft()
            if held[place]:
                heapq.heapreplace(heads, (held[place][0].timestamp, place))
            else:
                heapq.heappop(heads)
                lacking.add(place)


async def _fill(
    reader: TopicReader,
    held: dict[TopicPartition, deque[Record]],
    ends: dict[TopicPartition, int],
    lacking: set[TopicPartition],
) -> None:
    """Return once each of these has something, or is at its end."""
    empty = {place for place in lacking if await reader.position(place) < ends[place]}
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while empty:
        reader.ask_only(empty)
        records = await reader.more(*empty)
        for record in records:
            place = TopicPartition(record.topic, record.partition)
            if record.offset < ends[place]:
                held[place].append(record)
        # A position moves past what compaction has left of the end, also if there is no record.
        empty = {
            place
            for place in empty
            if not held[place] and await reader.position(place) < ends[place]
        }
        if records:
            heard = loop.time()
        elif empty and loop.time() - heard > reader.timeout_s:
            raise reader.unavailable("it stopped answering")
