"""The ports in memory: a log, a store and a clock that only moves when told."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from streams.errors import AppendFailed
from streams.wire.envelope import Record
from streams.wire.partition import partition_of
from streams.worker.ports import Append, Change, Clock, Row


class MemoryLog:
    """Partitioned topics in memory; a record is durable as soon as its append returns."""

    def __init__(self, clock: MemoryClock, partitions: int = 2) -> None:
        self.partitions = partitions
        self.topics: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self.starts: dict[tuple[str, int], int] = defaultdict(int)  # below it all is trimmed
        self.on_append: Callable[[Record], None] = lambda record: None
        self._clock = clock
        self._round = 0

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Write records in order; returns their offsets."""
        await asyncio.sleep(0)
        return [self.write(record) for record in records]

    def write(self, append: Append) -> int:
        """Write one record at once."""
        partition = append.partition
        if partition is None:
            if append.key is None:
                self._round += 1
                partition = self._round % self.partitions
            else:
                partition = partition_of(append.key, self.partitions)
        log = self.topics[(append.topic, partition)]
        offset = len(log)
        record = Record(
            append.topic,
            partition,
            offset,
            self._clock.now(),
            append.key,
            append.value,
            tuple(append.headers),
        )
        log.append(record)
        self.on_append(record)
        return offset

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        """Records from `start` to the end as it is now."""
        first = max(start, self.starts[(topic, partition)])
        records = self.topics[(topic, partition)][first:]
        for at in range(0, len(records), 500):
            await asyncio.sleep(0)
            yield records[at : at + 500]

    async def end(self, topic: str, partition: int) -> int:
        """The next offset."""
        return len(self.topics[(topic, partition)])

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        """The first record at or after a time."""
        place = (topic, partition)
        kept = self.topics[place][self.starts[place] :]
        return next((record.offset for record in kept if record.timestamp >= time), None)

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """Forget what is below an offset; a broker refuses one behind the end."""
        place = (topic, partition)
        if before > len(self.topics[place]):
            raise AppendFailed(f"{topic}/{partition} ends before {before}")
        self.starts[place] = max(self.starts[place], before)

    def records(self, topic: str) -> list[Record]:
        """All records of a topic, partition by partition."""
        return [
            record
            for (name, number), log in sorted(self.topics.items())
            if name == topic
            for record in log[self.starts[(name, number)] :]
        ]


class MemoryStore:
    """Ordered tables in memory. `close` keeps them: reopening is a restart on the same disk."""

    def __init__(self) -> None:
        self._values: dict[str, dict[bytes, bytes]] = defaultdict(dict)
        self._order: dict[str, list[bytes]] = defaultdict(list)
        self._at_risk: list[Row] | None = None

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._values[table].get(key)

    def scan(self, table: str, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, as they were at the call."""
        order, values = self._order[table], self._values[table]
        low = bisect_left(order, start)
        high = len(order) if stop is None else bisect_left(order, stop)
        yield from [(key, values[key]) for key in order[low:high]]

    def write(self, changes: Sequence[Row]) -> None:
        """Apply all changes."""
        if self._at_risk is not None:
            self._at_risk += changes
        for table, key, value in changes:
            values, order = self._values[table], self._order[table]
            if value is None:
                if key in values:
                    del values[key]
                    del order[bisect_left(order, key)]
            else:
                if key not in values:
                    insort(order, key)
                values[key] = value

    def clear(self, table: str) -> None:
        """Remove all of one table."""
        self._values.pop(table, None)
        self._order.pop(table, None)

    def risk(self) -> None:
        """Remember what `crash` may take."""
        self._at_risk = []

    def keep(self) -> None:
        """Nothing is at risk any more."""
        self._at_risk = None

    def crash(self) -> None:
        """Lose every third row of what was at risk, whatever it was."""
        taken, self._at_risk = self._at_risk or [], None
        rows = dict.fromkeys((table, key) for table, key, _ in taken)
        self.write([Change(table, key, None) for table, key in [*rows][::3]])

    def close(self) -> None:
        """Nothing to release."""


class MemoryAlarm:
    """A call that is to come on a `MemoryClock`."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Forget it."""
        self.callback = None


class MemoryClock:
    """Virtual time in milliseconds since the epoch; it stands still until advanced."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._now = now
        self._alarms: list[tuple[int, int, MemoryAlarm]] = []
        self._order = count()

    def now(self) -> int:
        """The virtual time."""
        return self._now

    def elapsed(self) -> int:
        """Virtual time goes evenly."""
        return self._now

    def call_at(self, when: int, callback: Callable[[], object]) -> MemoryAlarm:
        """Call when time gets there."""
        alarm = MemoryAlarm(callback)
        heappush(self._alarms, (when, next(self._order), alarm))
        return alarm

    def next_alarm(self) -> int | None:
        """When the next call is due."""
        alarms = self._alarms
        while alarms:
            if alarms[0][2].callback is not None:
                return alarms[0][0]
            heappop(alarms)
        return None

    def set(self, now: int) -> None:
        """Move time forward and make the calls that this makes due, in order."""
        if now > self._now:
            self._now = now
        alarms = self._alarms
        while alarms and alarms[0][0] <= self._now:
            alarm = heappop(alarms)[2]
            callback, alarm.callback = alarm.callback, None
            if callback is not None:
                callback()


class MemoryObjects:
    """Object storage in memory: see `streams.wire.objects`."""

    def __init__(self, clock: Clock) -> None:
        self.kept: dict[str, tuple[bytes, int]] = {}  # path -> value, and when it was put
        self._clock = clock

    async def put(self, path: str, value: bytes) -> None:
        """See `Objects.put`."""
        self.kept[path] = (value, self._clock.now())

    async def get(self, path: str) -> bytes:
        """See `Objects.get`."""
        if path not in self.kept:
            raise FileNotFoundError(path)
        return self.kept[path][0]

    async def sweep(self, prefix: str, before: int) -> int:
        """See `Objects.sweep`."""
        old = [p for p, (_, at) in self.kept.items() if p.startswith(prefix) and at < before]
        for path in old:
            del self.kept[path]
        return len(old)
