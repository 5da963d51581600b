"""What is between a worker and the broker: here everything arrives, at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from streams.testing.memory import MemoryLog
from streams.wire.envelope import Record
from streams.worker.ports import Append


class Network(Protocol):
    """Delays, in virtual milliseconds, and the way of an append."""

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Carry records to the broker, and its answer back."""
        ...

    async def flush(self) -> None:
        """Wait until nothing is on its way."""
        ...

    async def round_trip(self) -> None:
        """Ask the coordinator something, and hear its answer."""
        ...

    def heartbeat_at(self, when: int) -> int:
        """When a heartbeat that is planned for a time is sent."""
        ...

    def fetch_delay(self) -> int:
        """How long after a record was written it is handed over."""
        ...

    def command_delay(self) -> int:
        """How long after commands were written they are handed over."""
        ...

    def batch_size(self) -> int:
        """How many records are handed over at a time."""
        ...

    def commit_delay(self) -> int:
        """How long after a release it is committed."""
        ...


class NoDelay:
    """A network that does nothing to what it carries."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Written when it returns."""
        return await self._log.append(records)

    async def flush(self) -> None:
        """Nothing ever is."""

    async def round_trip(self) -> None:
        """No time passes."""

    def heartbeat_at(self, when: int) -> int:
        """At once: nobody waits for what is periodic."""
        return 0

    def fetch_delay(self) -> int:
        """At once."""
        return 0

    def command_delay(self) -> int:
        """At once."""
        return 0

    def batch_size(self) -> int:
        """A few."""
        return 16

    def commit_delay(self) -> int:
        """At once."""
        return 0


class WorkerLog:
    """The log as one worker reaches it: it writes only while it may."""

    def __init__(self, log: MemoryLog, network: Network, check: Callable[[], None]) -> None:
        self._log = log
        self._network = network
        self._check = check

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Write records.

        Raises:
            LeaseLost: the worker's lease has run out.
        """
        self._check()
        return await self._network.append(records)

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        """As the log does."""
        async for records in self._log.read(topic, partition, start):
            yield records

    async def end(self, topic: str, partition: int) -> int:
        """As the log does."""
        await asyncio.sleep(0)
        return await self._log.end(topic, partition)

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        """As the log does."""
        return await self._log.offset_at(topic, partition, time)

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """As the log does."""
        await self._log.trim(topic, partition, before)
