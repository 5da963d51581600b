"""Reads the command topics of our partitions, ahead of their queues and never held back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import UndecodableRecord
from streams.wire.closing import close_consumer
from streams.wire.commands import Command, decode_command

logger = logging.getLogger(__name__)

RETRY_PAUSE = 1.0  # seconds

Deliver = Callable[[str, int, Sequence[tuple[Command, int]]], Awaitable[None]]


class CommandReader:
    """One consumer without a group; commands are told by topic and partition."""

    def __init__(
        self,
        bootstrap: str,
        client_id: str,
        deliver: Deliver,
        kafka: Mapping[str, Any],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._kafka = dict(kafka)
        self._consumer: AIOKafkaConsumer | None = None
        self._deliver = deliver
        self._on_failure = on_failure
        self._task: asyncio.Task[None] | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._lives: dict[TopicPartition, object] = {}  # another one each time that it is opened
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Connect, and read until stopped."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=f"{self._client_id}-commands",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
            **self._kafka,
        )
        await self._consumer.start()
        self._task = asyncio.create_task(self._run(), name="commands")

    async def stop(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            await close_consumer(self._consumer)

    def add(self, topic: str, partition: int, start: int) -> None:
        """Read a partition from `start` on."""
        place = TopicPartition(topic, partition)
        self._positions[place], self._lives[place] = start, object()
        self._reassign()

    def remove(self, topic: str, partition: int) -> None:
        """Read a partition no more."""
        place = TopicPartition(topic, partition)
        self._lives.pop(place, None)
        if self._positions.pop(place, None) is not None:
            self._reassign()

    def _reassign(self) -> None:
        assert self._consumer is not None
        # `assign` forgets every position: say all of them again.
        self._consumer.assign(list(self._positions))
        for place, offset in self._positions.items():
            self._consumer.seek(place, offset)
        self._changed.set()

    async def _run(self) -> None:
        try:
            await self._read()
        except Exception as error:
            logger.exception("reading commands failed")
            self._on_failure(error)

    async def _read(self) -> None:
        assert self._consumer is not None
        while True:
            if not self._positions:
                self._changed.clear()
                await self._changed.wait()
            try:
                batches = await self._consumer.getmany(timeout_ms=200)
                fetched_in = dict(self._lives)
                for place, records in batches.items():
                    # Handing over takes time. What was fetched for an owner that was before lies
                    # behind what the next one is to be given first.
                    if place in fetched_in and fetched_in[place] is self._lives.get(place):
                        await self._hand_over(place, records)
            except (KafkaError, OSError) as error:
                logger.warning("reading commands failed: %s; trying again", error)
                await asyncio.sleep(RETRY_PAUSE)
                self._reassign()  # what was fetched and not handed over comes again

    async def _hand_over(self, place: TopicPartition, records: Sequence[Any]) -> None:
        position, life = self._positions[place], self._lives[place]
        commands: list[tuple[Command, int]] = []
        for record in records:
            if record.offset < position:
                continue  # fetched before others were reassigned
            try:
                command = decode_command(record.key or b"", record.value or b"")
            except UndecodableRecord as error:
                logger.error("%s/%d@%d: %s", place.topic, place.partition, record.offset, error)
            else:
                commands.append((command, record.offset))
        if commands:
            await self._deliver(place.topic, place.partition, commands)
        if self._lives.get(place) is life:
            self._positions[place] = records[-1].offset + 1
