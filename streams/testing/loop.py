"""An event loop without idle time: what is ready runs, then time goes on to the next alarm.

What runs for a process (see `streams.testing.process`) carries it in its context. So a process can
be ended or stopped between any two steps of any of its tasks, which is at any await.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any

from streams.testing.memory import MemoryAlarm, MemoryClock
from streams.testing.process import PROCESS, RUNNING


class Livelock(Exception):
    """Steps without end: something tries again for ever."""


class Call(asyncio.Handle):
    """A callback that is ready; as little as a handle can be."""

    __slots__ = ()

    def __init__(self, callback: Callable[..., object], args: Any, context: Context) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Forget it."""
        self._cancelled = True


class Timer(asyncio.TimerHandle):
    """A callback of a later time."""

    __slots__ = ("_alarm",)

    def __init__(self, alarm: MemoryAlarm, when: float) -> None:
        self._alarm = alarm
        self._when = when
        self._cancelled = False

    def cancel(self) -> None:
        """Forget it."""
        self._cancelled = True
        self._alarm.cancel()


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs tasks in virtual time, in one order only."""

    def __init__(self, clock: MemoryClock) -> None:
        self.steps = 0
        self.errors: list[str] = []
        self._clock = clock
        self._ready: deque[Call] = deque()
        self._tasks: list[asyncio.Task[Any]] = []

    # -- what asyncio asks for -----------------------------------------------------------------

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """As long as anybody can ask."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def time(self) -> float:
        """Virtual seconds."""
        return self._clock.now() / 1000

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Call:
        """Call in the next round."""
        call = Call(callback, args, copy_context() if context is None else context)
        self._ready.append(call)
        return call

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Timer:
        """Call at a virtual time, in seconds."""
        if context is None:
            context = copy_context()
        due = -int(-when * 1000 // 1)

        def ready() -> None:
            self.call_soon(callback, *args, context=context)

        alarm = self._clock.call_at(due, ready)
        return Timer(alarm, when)

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Timer:
        """Call after virtual seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        """A task of this loop."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # crashes leave many
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember what nobody caught."""
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # -- running -------------------------------------------------------------------------------

    def run(self, until: int | None = None, *, most_steps: int = 100_000) -> None:
        """Run until nothing is left to do, or until a virtual time.

        Raises:
            Livelock: it does not come to an end.
        """
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while True:
                self._run_ready(most_steps)
                due = self._clock.next_alarm()
                if due is None or (until is not None and due > until):
                    return
                self._clock.set(due)
        finally:
            asyncio._set_running_loop(outer)

    def _run_ready(self, most_steps: int) -> None:
        ready = self._ready
        while ready:
            call = ready.popleft()
            if call._cancelled:
                continue
            process = call._context.get(PROCESS)
            if process is not None:
                if process.state is not RUNNING:
                    process.hold(call)
                    continue
                process.steps += 1
                if process.steps == process.last_step:
                    process.end_by_schedule()
                    process.hold(call)
                    continue
            self.steps += 1
            if self.steps > most_steps:
                raise Livelock(f"no end after {most_steps} steps")
            call._context.run(call._callback, *call._args)

    def requeue(self, calls: list[Call]) -> None:
        """Let calls that were held go on, in their order."""
        self._ready.extend(calls)

    def close(self) -> None:
        """End every task where it stands; nothing of it is heard any more."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            at = 0
            while at < len(self._tasks):  # closing one may start others
                task = self._tasks[at]
                if not task.done():
                    with suppress(Exception):
                        task.get_coro().close()
                at += 1
            self._tasks.clear()
            self._ready.clear()
        finally:
            asyncio._set_running_loop(outer)
