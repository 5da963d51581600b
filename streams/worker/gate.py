"""A log that can be closed: what is half written stays so until it is known whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from streams.wire.envelope import Record
from streams.worker.ports import Append, Log


class Gate:
    """The log, as long as this worker may go on with what it is writing."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._opened = asyncio.Event()
        self._opened.set()

    def open(self) -> None:
        """Let appends through again."""
        self._opened.set()

    def close(self) -> None:
        """Let no other append begin."""
        self._opened.clear()

    @property
    def is_open(self) -> bool:
        """Whether appends may begin."""
        return self._opened.is_set()

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Append, once the gate is open."""
        await self._opened.wait()
        return await self._log.append(records)

    def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        """As the log does."""
        return self._log.read(topic, partition, start)

    async def end(self, topic: str, partition: int) -> int:
        """As the log does."""
        return await self._log.end(topic, partition)

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        """As the log does."""
        return await self._log.offset_at(topic, partition, time)

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """As the log does."""
        await self._log.trim(topic, partition, before)
