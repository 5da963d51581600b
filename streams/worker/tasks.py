"""Tasks for attempts: one that waits for something has its own, those that do not share one.

To make a task and to switch to it costs more than a short job does. So attempts are run in one
task, one after the other, as long as none of them waits. As soon as one does, that task is its
own, and the others go on in another one. What had to wait the last time gets a task at once.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# In one step of the loop, which has others to look after.
RUNS_MAX = 100
STEP_MS = 10


class Tasks(Generic[T]):
    """Calls `run(item, task)` for each item, in `task`, from the next step of the loop on.

    Each run has the context variables that were there when this was made: what one leaves behind
    is seen by no other.
    """

    def __init__(
        self,
        run: Callable[[T, asyncio.Task[None]], Coroutine[Any, Any, None]],
        now: Callable[[], int],
    ) -> None:
        self._run = run
        self._now = now  # milliseconds
        self._context = contextvars.copy_context()
        self._ready: deque[tuple[str, T]] = deque()
        self._shared: asyncio.Task[None] | None = None  # that runs what is ready
        self._kind: str | None = None  # of the run in which the shared task is
        self._that_wait: set[str] = set()  # kinds of which the last run had to wait
        self._last: T | None = None  # that began in a task of its own

    def start(self, kind: str, item: T) -> None:
        """Run an item; whether a run is likely to wait is told from the last one of its `kind`."""
        if kind in self._that_wait:
            self._create(self._run_alone(kind, item))
            return
        self._ready.append((kind, item))
        if self._shared is None:
            self._shared = self._create(self._run_ready())

    def _create(self, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(run, context=self._context.copy())

    async def _run_alone(self, kind: str, item: T) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._last = item
        await self._run(item, task)
        if self._last is item:  # nothing else has begun since: it has probably not waited
            self._last = None
            self._that_wait.discard(kind)

    async def _run_ready(self) -> None:
        task = self._shared
        assert task is not None
        asyncio.get_running_loop().call_soon(self._after_step)
        until = self._now() + STEP_MS
        clean = contextvars.copy_context()
        ready = self._ready
        for _ in range(RUNS_MAX):
            if not ready:
                return
            self._kind, item = ready.popleft()
            await self._run(item, task)
            if self._shared is not task:
                return  # it waited, and others have gone on
            self._kind = None
            if task.cancelling() or getattr(task, "_must_cancel", False):
                return  # the next one is not to inherit that
            if contextvars.copy_context() != clean or self._now() >= until:
                return

    def _after_step(self) -> None:
        """The shared task is through, or in a run that waits."""
        self._shared = None
        if self._kind is not None:
            self._that_wait.add(self._kind)
            self._kind = None
        for _ in range(len(self._ready)):
            self.start(*self._ready.popleft())
