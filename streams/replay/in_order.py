"""Work on many things side by side, and on those of one lane one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

_WAITING: Final = 8  # times as many as work, that may be taken ahead


class InOrder:
    """At most so many at a time; whoever adds more than can be taken waits."""

    def __init__(self, side_by_side: int) -> None:
        self._slots = asyncio.Semaphore(side_by_side)
        self._room = asyncio.Semaphore(side_by_side * _WAITING)
        self._last: dict[Hashable, asyncio.Task[None]] = {}  # of each lane
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    async def add(self, lane: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Do this behind what the lane has; None is no lane.

        Raises:
            Exception: what an earlier one raised.
        """
        await self._room.acquire()
        if self._error is not None:
            raise self._error
        before = None if lane is None else self._last.get(lane)
        task = asyncio.create_task(self._do(work, before))
        self._tasks.add(task)
        if lane is not None:
            self._last[lane] = task
        task.add_done_callback(lambda ended: self._over(lane, ended))

    async def finish(self) -> None:
        """Return once all is done.

        Raises:
            Exception: what one of them raised.
        """
        while self._tasks:
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)  # for those who are told
        if self._error is not None:
            raise self._error

    async def stop(self) -> None:
        """Interrupt what is not done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _do(
        self, work: Callable[[], Awaitable[None]], before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        async with self._slots:
            await work()

    def _over(self, lane: Hashable, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if self._last.get(lane) is task:
            del self._last[lane]
        if not task.cancelled() and task.exception() is not None and self._error is None:
            self._error = task.exception()
