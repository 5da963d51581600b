"""Tells an application's listeners what happens, without letting them hold up a job."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.listening import ListenerDefinition

logger = logging.getLogger(__name__)

WAITING_MAX: Final = 1_000  # events, for each asynchronous listener
ENDED_WITHIN: Final = 5.0  # seconds, for what waits when the worker ends


class _Queue:
    """One asynchronous listener, and what it has not heard yet."""

    def __init__(self, definition: ListenerDefinition) -> None:
        self.definition = definition
        self.dropped = 0
        self._waiting: deque[LifecycleEvent] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, event: LifecycleEvent) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            if self.dropped == 1:
                logger.warning(
                    "listener %s does not keep up: events are dropped", self.definition.name
                )
            return
        self._waiting.append(event)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"listener-{self.definition.name}"
            )

    async def _run(self) -> None:
        while self._waiting:
            event = self._waiting.popleft()
            try:
                await self.definition.function(event)
            except Exception:
                _tell(self.definition, event)
        if self.dropped:
            logger.warning("listener %s missed %d events", self.definition.name, self.dropped)
        self.dropped = 0
        self._task = None

    async def end(self) -> None:
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=ENDED_WITHIN)
        if late:
            logger.warning(
                "listener %s has not heard %d events", self.definition.name, len(self._waiting)
            )
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class Listeners:
    """A listener of the engine's that tells those of the application what they want to hear."""

    def __init__(self, definitions: Iterable[ListenerDefinition]) -> None:
        self._at_once: dict[Happening, list[ListenerDefinition]] = {}
        self._queues: dict[Happening, list[_Queue]] = {}
        self._all: list[_Queue] = []
        for definition in definitions:
            if definition.is_async:
                queue = _Queue(definition)
                self._all.append(queue)
                for happening in definition.happenings:
                    self._queues.setdefault(happening, []).append(queue)
            else:
                for happening in definition.happenings:
                    self._at_once.setdefault(happening, []).append(definition)

    def listen(self, event: LifecycleEvent) -> None:
        """Tell whoever wants to hear it."""
        for definition in self._at_once.get(event.happening, ()):
            try:
                definition.function(event)
            except Exception:
                _tell(definition, event)
        for queue in self._queues.get(event.happening, ()):
            queue.put(event)

    async def end(self) -> None:
        """Let those that are behind hear the rest, for a while."""
        await asyncio.gather(*(queue.end() for queue in self._all))


def _tell(definition: ListenerDefinition, event: LifecycleEvent) -> None:
    logger.exception(
        "listener %s failed on %s of %s %s",
        definition.name,
        event.happening,
        event.name,
        event.id,
    )
