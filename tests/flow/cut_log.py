"""A log that stops in the middle of a write: what a crash between any two writes leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from streams.testing.cluster import MemoryCluster
from streams.testing.memory import MemoryLog
from streams.wire.envelope import Record
from streams.worker.ports import Append


class CutLog:
    """A log that takes a prefix of one append, and then nothing more; nobody is told."""

    def __init__(self, log: MemoryLog, cut: tuple[int, int] | None) -> None:
        self.sizes: list[int] = []  # of the appends that came
        self.is_cut = asyncio.Event()
        self.armed = False
        self._log = log
        self._cut = cut

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        if self.armed:
            number = len(self.sizes)
            self.sizes.append(len(records))
            if self._cut is not None and number >= self._cut[0]:
                kept = self._cut[1] if number == self._cut[0] else 0
                for record in records[:kept]:
                    self._log.write(record)
                self.is_cut.set()
                await asyncio.Event().wait()
        return await self._log.append(records)

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        async for records in self._log.read(topic, partition, start):
            yield records

    async def end(self, topic: str, partition: int) -> int:
        return await self._log.end(topic, partition)


def cuts(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(append, how many of its records are written): none, some, or all without an answer."""
    for number, size in enumerate(sizes):
        for kept in range(size + 1):
            yield number, kept


async def run_until_cut(cluster: MemoryCluster, log: CutLog, ms: int) -> None:
    """Let time pass, up to the moment at which the worker hears no answer any more."""
    passing = asyncio.ensure_future(cluster.advance_to(cluster.clock.now() + ms))
    cut = asyncio.ensure_future(log.is_cut.wait())
    await asyncio.wait({passing, cut}, return_when=asyncio.FIRST_COMPLETED)
    for task in (passing, cut):
        task.cancel()
    await asyncio.gather(passing, cut, return_exceptions=True)
