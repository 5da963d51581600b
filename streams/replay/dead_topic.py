"""The dead-letter topic, read partition by partition: the letters that stand, however many.

In memory are the offsets of those of one partition, and no letter longer than it is looked at. A
partition is read twice: a letter may have been resolved by a tombstone behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from streams.errors import UndecodableRecord
from streams.replay.letters import Letter, letter_from
from streams.wire import headers as h
from streams.wire.envelope import Record
from streams.wire.reader import TopicReader, open_reader, partition_count

Wanted = Callable[[Letter], bool]

_DIGITS_MAX: Final = 19
_OF_A_LETTER: Final = frozenset((h.DEAD_QUEUE, h.DEAD_KEY, h.DEAD_OFFSET))


def _all(letter: Letter) -> bool:
    return True


class DeadTopic:
    """What stands in it now."""

    def __init__(self, reader: TopicReader, topic: str, partitions: int) -> None:
        self._reader = reader
        self._topic = topic
        self._partitions = partitions

    async def letters(self, wanted: Wanted = _all) -> AsyncIterator[Letter]:
        """Letters that nobody has resolved; those of one key in the order of their jobs.

        Else in the order in which they died, one partition after the other.

        Raises:
            BrokerUnavailable: the broker stopped answering.
        """
        for partition in range(self._partitions):
            standing = await self._standing(partition)
            if not standing.at:
                continue
            late: list[Letter] = []  # of keys whose jobs did not die in their order
            start = min(standing.at.values())
            async for records in self._read(partition, start):
                for record in records:
                    letter = standing.letter(record)
                    if letter is None or not wanted(letter):
                        continue
                    if hash(letter.lane) in standing.disordered:
                        late.append(letter)
                    else:
                        yield letter
            for letter in sorted(late, key=attrgetter("origin", "generation")):
                yield letter

    def _read(self, partition: int, start: int = 0) -> AsyncIterator[list[Record]]:
        return self._reader.partition_to_end(self._topic, partition, start)

    async def _standing(self, partition: int) -> _Standing:
        standing = _Standing()
        async for records in self._read(partition):
            for record in records:
                standing.take(record)
        return standing


@dataclass(slots=True)
class _Standing:
    """Of one partition: where each letter is, by the hash of its key."""

    at: dict[int, int] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)  # of each key, its latest arrival
    disordered: set[int] = field(default_factory=set)

    def take(self, record: Record) -> None:
        """Note a record."""
        key = hash(record.key)
        if record.value is None:
            self.at.pop(key, None)
            return
        self.at[key] = record.offset
        told = {name: value for name, value in record.headers if name in _OF_A_LETTER}
        record_key = told.get(h.DEAD_KEY)
        if record_key is None:
            return
        queue, offset = (told.get(name) or b"" for name in (h.DEAD_QUEUE, h.DEAD_OFFSET))
        lane = hash((queue.decode(errors="replace"), record_key))
        arrival = int(offset) if offset.isdigit() and len(offset) < _DIGITS_MAX else 0
        if arrival < self.latest.get(lane, -1):
            self.disordered.add(lane)
        else:
            self.latest[lane] = arrival

    def letter(self, record: Record) -> Letter | None:
        """The letter that a record is, if it stands; what is no letter is none."""
        if record.value is None or self.at.get(hash(record.key)) != record.offset:
            return None
        try:
            return letter_from(record)
        except UndecodableRecord:
            return None


@asynccontextmanager
async def open_dead_topic(
    bootstrap: str, topic: str, *, timeout_ms: int = 10_000
) -> AsyncIterator[DeadTopic]:
    """The dead-letter topic of one broker.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
        TopicMismatch: there is no such topic.
    """
    count = await partition_count(bootstrap, topic, timeout_ms=timeout_ms)
    async with open_reader(bootstrap, {topic: count}, timeout_ms=timeout_ms) as reader:
        yield DeadTopic(reader, topic, count)
