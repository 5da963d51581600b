"""Reads batch by batch over one connection; while one is written the next one is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.projection.batch import Batch, Reader
from streams.projection.kafka import POLL_MS
from streams.projection.turns import Turns

_READ_AT_ONCE: Final = 2_000  # records: whoever else is on this loop has his turn between
_WRITE_AT_ONCE: Final = 12_000  # in one transaction
_KEEP_EVERY_S: Final = 2.0
_LOOK_EVERY_S: Final = 10.0


class Duties(NamedTuple):
    """What is done with what is read, and beside it."""

    take: Callable[[Mapping[Any, Any], Reader, Batch], int]  # how many records it were
    write: Callable[[Batch], Awaitable[None]]
    keep: Callable[[bool], Awaitable[bool]]  # told whether it is idle; whether all is done
    look: Callable[[], Awaitable[None]]  # whether this connection still reads all there is
    check: Callable[[], None]  # that it does


class Reading:
    """One connection, until it breaks or its task is cancelled."""

    def __init__(
        self, consumer: AIOKafkaConsumer, reader: Reader, turns: Turns, duties: Duties
    ) -> None:
        self._consumer = consumer
        self._reader = reader
        self._turns = turns
        self._duties = duties
        self._writing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Read for ever."""
        batch = Batch()
        keep_at = time.monotonic()
        look_at = keep_at + _LOOK_EVERY_S
        try:
            while True:
                is_all = await self._read(batch)
                await asyncio.sleep(0)
                is_full = batch.records >= _WRITE_AT_ONCE
                if self._writing is not None and (self._writing.done() or is_full):
                    await self._written()
                # What comes fast is put together: it costs less.
                if self._writing is None and batch.records and (is_full or is_all):
                    self._writing = asyncio.ensure_future(self._duties.write(batch))
                    batch = Batch()
                now = time.monotonic()
                if now >= keep_at:
                    await self._written()
                    is_done = await self._duties.keep(not batch.records)
                    keep_at = time.monotonic() + (_KEEP_EVERY_S if is_done else 0)
                if now >= look_at:
                    await self._duties.look()
                    look_at = now + _LOOK_EVERY_S
                self._duties.check()
        finally:
            if self._writing is not None:
                await asyncio.wait([self._writing])

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing  # whoever is cancelled here waits for it once more
            self._writing = None

    async def _read(self, batch: Batch) -> bool:
        """Read some records of those whose turn it is; whether there were no more just now."""
        consumer, turns = self._consumer, self._turns
        turn = turns.next()
        asked = [TopicPartition(*of) for of in turn.partitions]
        wait_ms = POLL_MS if turn.waits else 0
        found = await consumer.getmany(*asked, timeout_ms=wait_ms, max_records=_READ_AT_ONCE)
        number = self._duties.take(found, self._reader, batch)
        if turns.is_over:
            return number < _READ_AT_ONCE
        places = {(at.topic, at.partition): at for at in asked or found}
        reached = {of: await consumer.position(at) for of, at in places.items()}
        turns.took(turn, number, reached)
        return turn.waits and not number
