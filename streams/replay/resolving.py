"""Letters resolved: their workers are asked, and it is watched until the letters are gone.

Nothing of it is kept anywhere else. What was interrupted is done by doing it again: letters that
are resolved stand no more, and a worker that is asked twice for the same letter, by one operator or
two, acts once: it replays a job only from the generation of its letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiokafka import AIOKafkaProducer

from streams.replay.letters import Letter
from streams.replay.pace import Pace
from streams.wire.producer import Sent, close_producer, open_producer, send_all
from streams.wire.reader import TopicReader, open_reader, partition_counts
from streams.wire.topics import TopicNames
from streams.worker.ports import Append

AT_ONCE: Final = 5_000
"""Letters that are waited for at the same time."""
_TOGETHER: Final = 500  # sent, before it is awaited that they are durable
_TOLD_MAX: Final = 20  # ids


class Action(Protocol):
    """What becomes of letters."""

    def appends(self, letter: Letter, partitions: int) -> list[list[Append]]:
        """What is to be written for one, each part once the one before it is durable.

        `partitions`: how many its queue has; 0 if there is no such queue.
        """
        ...


@dataclass(slots=True)
class Resolved:
    """What became of them."""

    asked: int = 0
    resolved: int = 0
    silent: int = 0  # nothing was heard of them
    silent_ids: list[str] = field(default_factory=list)  # of some
    nowhere: dict[str, int] = field(default_factory=dict)  # letters of topics that are not there


async def resolve(
    bootstrap: str,
    names: TopicNames,
    letters: AsyncIterable[Letter],
    action: Action,
    *,
    rate: float | None = None,
    timeout_ms: int = 30_000,
    told: Callable[[Resolved], None] = lambda _: None,
) -> Resolved:
    """Resolve letters, in this order; `rate`: at most so many a second.

    A worker that is silent for `timeout_ms` is waited for no longer: it acts once it is there.

    Raises:
        BrokerUnavailable: Kafka did not answer; what was asked for is done.
    """
    counts = await partition_counts(bootstrap)
    dead = {names.dead: counts[names.dead]}
    async with open_reader(bootstrap, dead) as reader:
        await reader.seek_to_end()
        producer = await open_producer(bootstrap, "streams-replay")
        try:
            asking = _Asking(producer, names, action, counts, Pace(rate), told)
            watching = asyncio.create_task(_watch(reader, asking))
            try:
                await _unless(watching, asking.ask_all(letters, timeout_ms))
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
            return asking.result
        finally:
            await close_producer(producer)


async def _watch(reader: TopicReader, asking: _Asking) -> None:
    while True:
        for record in await reader.more():
            if record.value is None and record.key is not None:
                asking.answered(record.key)


async def _unless(watching: asyncio.Task[None], work: Awaitable[None]) -> None:
    """Do the work; what ends the watch ends it, too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            watching.result()
        await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class _Asking:
    def __init__(
        self,
        producer: AIOKafkaProducer,
        names: TopicNames,
        action: Action,
        counts: dict[str, int],
        pace: Pace,
        told: Callable[[Resolved], None],
    ) -> None:
        self.result = Resolved()
        self._producer = producer
        self._names = names
        self._action = action
        self._counts = counts
        self._pace = pace
        self._told = told
        self._awaited: dict[bytes, str] = {}  # ids by the keys of letters
        self._news = asyncio.Event()

    def answered(self, key: bytes) -> None:
        """A letter is gone, by whomever."""
        if self._awaited.pop(key, None) is not None:
            self.result.resolved += 1
            self._news.set()
            self._told(self.result)

    async def ask_all(self, letters: AsyncIterable[Letter], timeout_ms: int) -> None:
        """Ask for each, and wait for the last ones."""
        together: list[Letter] = []
        async for letter in letters:
            await self._pace.turn()
            together.append(letter)
            if len(together) == _TOGETHER or self._pace.is_slow:
                await self._ask(together)
                together = []
            while len(self._awaited) >= AT_ONCE and await self._heard(timeout_ms):
                pass
            if len(self._awaited) >= AT_ONCE:
                self._give_up()
        await self._ask(together)
        while self._awaited and await self._heard(timeout_ms):
            pass
        self._give_up()

    async def _heard(self, timeout_ms: int) -> bool:
        self._news.clear()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _give_up(self) -> None:
        result = self.result
        result.silent += len(self._awaited)
        result.silent_ids += list(self._awaited.values())[: _TOLD_MAX - len(result.silent_ids)]
        self._awaited.clear()

    async def _ask(self, letters: list[Letter]) -> None:
        """Write what is to be written for each: the first part of all, then the second one."""
        parts = [part for letter in letters for part in enumerate(self._parts(letter))]
        for number in range(max((at for at, _ in parts), default=-1) + 1):
            together = [_sent(each) for at, part in parts if at == number for each in part]
            await send_all(self._producer, together)

    def _parts(self, letter: Letter) -> list[list[Append]]:
        partitions = self._counts.get(self._names.commands(letter.queue), 0)
        parts = self._action.appends(letter, partitions)
        missing = {each.topic for part in parts for each in part} - self._counts.keys()
        if missing:
            topic = min(missing)
            self.result.nowhere[topic] = self.result.nowhere.get(topic, 0) + 1
            return []
        self.result.asked += 1
        self._awaited[letter.key] = letter.id
        return parts


def _sent(append: Append) -> Sent:
    return Sent(append.topic, append.partition, append.key, append.value, append.headers)
