"""The control topic, read and written from outside a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from streams.client_delivery import Delivery
from streams.wire.producer import close_producer, open_producer, send
from streams.wire.reader import TopicReader, open_reader, partition_count
from streams.wire.schedules import ADDED, PAUSED, TICKED
from streams.worker.control import Control


class ControlReader:
    """`control` is as it was at the last `refresh`."""

    def __init__(self, reader: TopicReader, topic: str) -> None:
        no_log: Any = None  # what is read here is told to it
        self.control = Control(no_log, topic)
        self._reader = reader

    async def refresh(self) -> Control:
        """Read what was written since.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
        """
        async for record in self._reader.to_end():
            self.control.take(record)
        return self.control


@asynccontextmanager
async def open_control(
    bootstrap: str, topic: str, *, timeout_ms: int = 10_000
) -> AsyncIterator[ControlReader]:
    """A reader that has read nothing yet.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
        TopicMismatch: there is no such topic.
    """
    count = await partition_count(bootstrap, topic, timeout_ms=timeout_ms)
    async with open_reader(bootstrap, {topic: count}, timeout_ms=timeout_ms) as reader:
        yield ControlReader(reader, topic)


async def write_control(
    bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes | None]]
) -> None:
    """Keep some values, or remove them, in this order.

    Raises:
        BrokerUnavailable: not acknowledged in time.
    """
    producer = await open_producer(bootstrap, "streams-cron")
    try:
        for key, value in records:
            await send(producer, topic, key=key, value=value, partition=0)
    finally:
        await close_producer(producer)


@asynccontextmanager
async def open_delivery(bootstrap: str, *, timeout_ms: int = 10_000) -> AsyncIterator[Delivery]:
    """What puts jobs and commands on their topics.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
    """
    delivery = Delivery(bootstrap, "streams-cron", timeout_ms=timeout_ms, kafka={})
    try:
        await delivery.open()
        yield delivery
    finally:
        await delivery.close()


def forgotten(name: str) -> list[tuple[bytes, None]]:
    """The records that remove a schedule, and all that is known of it."""
    # That it was added goes first: whoever has read only that knows that it is removed.
    return [(prefix + name.encode(), None) for prefix in (ADDED, TICKED, PAUSED)]
