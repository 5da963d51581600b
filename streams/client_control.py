"""What the control topic says of schedules, for a client that is asked for one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

from aiokafka.errors import KafkaError

from streams.client_schedule import Scheduled
from streams.errors import BrokerUnavailable, UndecodableRecord
from streams.wire.reader import TopicReader, open_reader
from streams.wire.schedules import ADDED, TICKED, decode_ticked


class ControlView:
    """Connects when it is asked first, and reads on from there: a service may add thousands."""

    def __init__(
        self,
        bootstrap: str | list[str],
        topic: str,
        *,
        timeout_ms: int,
        kafka: Mapping[str, Any],
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._timeout_ms = timeout_ms
        self._kafka = kafka
        self._reading = asyncio.Lock()
        self._reader: TopicReader | None = None
        self._opened = AsyncExitStack()  # what closes the reader
        self._values: dict[bytes, bytes] = {}
        self._read_since = -1.0  # when the last reading began

    async def scheduled(self, name: str) -> Scheduled:
        """What there is of this name now; the topic must exist.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            async with asyncio.timeout(self._timeout_ms / 1000), self._reading:
                if self._read_since < asked:  # else somebody who asked later has read it
                    began = loop.time()
                    await self._read()
                    self._read_since = began
        except (TimeoutError, KafkaError, OSError) as error:
            raise BrokerUnavailable(
                f"Kafka at {self._bootstrap} did not say within {self._timeout_ms} ms which "
                f"schedules there are: {str(error) or 'no answer'}. Nothing was written; try again"
            ) from error
        ticked = self._values.get(TICKED + name.encode())
        known = None
        if ticked is not None:
            with suppress(UndecodableRecord):  # workers pass it over as well
                known = decode_ticked(ticked)
        return Scheduled(is_added=ADDED + name.encode() in self._values, ticked=known)

    async def close(self) -> None:
        """Disconnect."""
        async with self._reading:
            await self._drop()

    async def _read(self) -> None:
        try:
            if self._reader is None:
                opening = open_reader(
                    self._bootstrap,
                    {self._topic: 1},
                    timeout_ms=self._timeout_ms,
                    kafka=self._kafka,
                )
                self._reader = await self._opened.enter_async_context(opening)
            async for record in self._reader.to_end():
                key = record.key or b""
                if record.value is None:
                    self._values.pop(key, None)
                elif key.startswith((TICKED, ADDED)):
                    self._values[key] = record.value
        except BaseException:  # what it had read may not have been taken
            await self._drop()
            raise

    async def _drop(self) -> None:
        opened, self._opened, self._reader = self._opened, AsyncExitStack(), None
        self._values = {}
        await opened.aclose()
