"""Enqueues schedules for whoever calls for them by their names: a clock that is elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from aiokafka.errors import KafkaError

from streams.client_delivery import Delivery
from streams.errors import BrokerUnavailable
from streams.jobs.registry import Registry
from streams.schedules.book import Known, read_book
from streams.schedules.calls import called_envelope, enqueue_called
from streams.schedules.control import ControlReader, open_control
from streams.wire.topics import TopicNames
from streams.worker.schedules import Planned

PATIENCE_MS: Final = 4_000
"""Nobody who calls waits longer: common clients give up after five seconds."""
_ANSWER_MS: Final = 3_000  # of one question to the broker


class Caller:
    """Connects when it is called first, and again after an error."""

    def __init__(self, bootstrap: str, prefix: str, registry: Registry) -> None:
        self._bootstrap = bootstrap
        self._names = TopicNames(prefix)
        self._registry = registry
        self._delivery = Delivery(bootstrap, "streams-cron", timeout_ms=_ANSWER_MS, kafka={})
        self._reading = asyncio.Lock()
        self._reader: ControlReader | None = None
        self._opened = AsyncExitStack()  # what closes the reader
        self._closing: set[asyncio.Task[None]] = set()
        self._book: dict[str, Known] = {}
        self._read_since = -1.0  # when the reading of the book began

    async def find(self, name: str) -> Known | None:
        """The schedule of this name, as the control topic has it now.

        Raises:
            BrokerUnavailable: Kafka did not answer in time.
            TopicMismatch: there is no control topic.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._in_time(), self._reading:
            if self._read_since < asked:  # else somebody who asked later has read it
                begun = loop.time()
                await self._read()
                self._read_since = begun
        return self._book.get(name)

    async def enqueue(self, planned: Planned, now: int) -> str:
        """Enqueue the job of its latest tick at `now` (ms since the epoch); the job's id.

        Called again before the next tick it is the same job.

        Raises:
            BrokerUnavailable: Kafka did not answer in time; calling again is safe.
            TopicMismatch: its queue has no topic.
        """
        envelope = called_envelope(planned, now)
        async with self._in_time():
            await self._delivery.open()
            await enqueue_called(self._delivery, self._names, planned, envelope)
        return envelope.id

    async def close(self) -> None:
        """Send what is on its way, and disconnect."""
        async with self._reading:
            self._drop_reader()
        await self._delivery.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _read(self) -> None:
        try:
            if self._reader is None:
                opening = open_control(self._bootstrap, self._names.control, timeout_ms=_ANSWER_MS)
                self._reader = await self._opened.enter_async_context(opening)
            self._book = read_book(self._registry, await self._reader.refresh())
        except BaseException:  # what it had read may not have been taken
            self._drop_reader()
            raise

    def _drop_reader(self) -> None:
        """Close it, while others go on."""
        closing = asyncio.create_task(self._opened.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._reader, self._opened = None, AsyncExitStack()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE_MS / 1000):
                yield
        except (TimeoutError, KafkaError, OSError) as error:
            raise BrokerUnavailable(
                f"Kafka at {self._bootstrap} did not answer within {PATIENCE_MS} ms"
            ) from error
