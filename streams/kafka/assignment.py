"""The partitions that Faust has assigned to this worker: opened, read, and closed again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from faust.types import TP

from streams.kafka.commands import CommandReader
from streams.wire.topics import TopicNames
from streams.worker.engine import Engine
from streams.worker.fan_out import FanOut
from streams.worker.pipeline import Pipeline

logger = logging.getLogger(__name__)


class PartitionSource:
    """The acknowledged prefix of one partition, as the consumer will commit it."""

    def __init__(self) -> None:
        self.watermark: int | None = None

    def release(self, watermark: int) -> None:
        """Everything below is settled or taken over."""
        self.watermark = watermark


class Assignment:
    """What is ours, and who reads it; `queues` and `events` name what each topic is for."""

    def __init__(
        self,
        engine: Engine,
        commands: CommandReader,
        names: TopicNames,
        *,
        queues: Mapping[str, str],
        events: Mapping[str, str],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.targets: dict[TP, Pipeline | FanOut] = {}  # of the partitions that are open
        self._engine = engine
        self._commands = commands
        self._names = names
        self._queues = queues
        self._events = events
        self._on_failure = on_failure
        self._sources: dict[TP, PartitionSource] = {}
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._generation = 0  # of the group, when partitions were assigned last
        self._is_whole = False  # what was assigned is open, or being opened

    @property
    def is_open(self) -> bool:
        """Whether all that was assigned is open."""
        return self._is_whole and not self._opening

    def partitions(self) -> list[TP]:
        """What we own, or are about to own."""
        return list(self._sources)

    def places(self) -> list[tuple[str, int]]:
        """Those of them that are of queues: queue and partition."""
        return [
            (self._queues[tp.topic], tp.partition)
            for tp in self._sources
            if tp.topic in self._queues
        ]

    def watermark(self, tp: TP) -> int | None:
        """What may be committed of a partition; None: nothing yet."""
        source = self._sources.get(tp)
        return None if source is None else source.watermark

    async def keep(self, assigned: set[TP], generation: int) -> bool:
        """Close what went away; whether nobody else can have had what is left.

        That is so only if this worker took part in every generation in between. Otherwise all that
        it holds in memory is of the past, and all is closed.
        """
        self._is_whole = False
        is_next = generation == self._generation + 1
        self._generation = generation
        for tp in set(self._sources) - assigned if is_next else set(self._sources):
            await self._close(tp)
        return is_next

    def open(self, assigned: set[TP], committed: Mapping[TP, int | None]) -> None:
        """Begin to open what is new, from what the group has committed."""
        for tp in assigned:
            if tp not in self.targets and tp not in self._opening:
                start = committed.get(tp) or 0
                self._sources[tp] = PartitionSource()
                self._opening[tp] = asyncio.create_task(self._open(tp, max(start, 0)))
        self._is_whole = True

    async def abandon_openings(self) -> bool:
        """Close what is half open: it would start to work while others recover it."""
        opening = list(self._opening)
        for tp in opening:
            await self._close(tp)
        return bool(opening)

    def stop(self) -> None:
        """Open nothing more."""
        for task in self._opening.values():
            task.cancel()

    async def _open(self, tp: TP, start: int) -> None:
        source, engine = self._sources[tp], self._engine
        try:
            if tp.topic in self._events:
                kind = self._events[tp.topic]
                fan_out = await engine.open_events(kind, tp.partition, source)
                fan_out.skip_to(start)
                self.targets[tp] = fan_out
            elif tp.topic in self._queues:
                queue = self._queues[tp.topic]
                pipeline = await engine.open_queue(queue, tp.partition, source, start)
                commands = pipeline.place.commands
                self._commands.add(commands, tp.partition, pipeline.tables.applied(commands))
                self.targets[tp] = pipeline
        except Exception as error:
            logger.exception("opening %s/%d failed", tp.topic, tp.partition)
            self._on_failure(error)
        finally:
            self._opening.pop(tp, None)

    async def _close(self, tp: TP) -> None:
        self._sources.pop(tp, None)
        opening = self._opening.pop(tp, None)
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        self.targets.pop(tp, None)
        if tp.topic in self._events:
            await self._engine.close_events(self._events[tp.topic], tp.partition)
        elif tp.topic in self._queues:
            queue = self._queues[tp.topic]
            self._commands.remove(self._names.commands(queue), tp.partition)
            await self._engine.close_queue(queue, tp.partition)
