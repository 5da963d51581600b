"""An operating system's process, as the simulator sees it: it runs, stands still, or is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from streams.testing.loop import Call, VirtualLoop
    from streams.testing.memory import MemoryAlarm, MemoryClock

LONGEST_SLEEP_MS: Final = 60_000  # a step of the clock is noticed within this time


class Life(Enum):
    """What a process is doing."""

    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "dead"


RUNNING: Final = Life.RUNNING
PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Process:
    """Everything that runs in its context stands or falls with it."""

    def __init__(self, name: str, loop: VirtualLoop, clock: MemoryClock, skew: int = 0) -> None:
        self.name = name
        self.state = Life.RUNNING
        self.steps = 0
        self.last_step = -1  # it dies instead of taking this one
        self.clock = ProcessClock(self, clock, skew)
        self.on_last_step: Callable[[], None] = self.end
        self.context: Context = copy_context()
        self.context.run(PROCESS.set, self)
        self._loop = loop
        self._held: list[Call] = []

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a task in it."""
        return self._loop.create_task(work, name=name, context=self.context.copy())

    def call(self, callback: Callable[..., object], *args: Any) -> None:
        """Call in it, as soon as it runs."""
        self._loop.call_soon(callback, *args, context=self.context)

    def hold(self, call: Call) -> None:
        """Keep a call that can't be made now."""
        if self.state is Life.FROZEN:
            self._held.append(call)

    def end_by_schedule(self) -> None:
        """Its last step has come."""
        self.on_last_step()

    def end(self) -> None:
        """SIGKILL."""
        self.state = Life.DEAD
        self._held.clear()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.state = Life.FROZEN

    def thaw(self) -> None:
        """SIGCONT: it goes on in the middle of what it did."""
        self.state = Life.RUNNING
        self._loop.requeue(self._held)
        self._held = []


class ProcessAlarm:
    """A call at a time of a process's clock, which may step meanwhile."""

    __slots__ = ("_alarm", "_callback", "_clock", "_when")

    def __init__(self, clock: ProcessClock, when: int, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._when = when
        self._callback = callback
        self._alarm: MemoryAlarm | None = clock.wake_after(when - clock.now(), self._wake)

    def cancel(self) -> None:
        """Forget it."""
        if self._alarm is not None:
            self._alarm.callback = None
            self._alarm = None

    def _wake(self) -> None:
        self._clock.process.call(self._check)

    def _check(self) -> None:
        if self._alarm is None:
            return
        left = self._when - self._clock.now()
        if left <= 0:
            self._alarm = None
            self._callback()
        else:
            self._alarm = self._clock.wake_after(left, self._wake)


class ProcessClock:
    """The wall clock of the machine that a process runs on: off by a little, and it may step."""

    def __init__(self, process: Process, world: MemoryClock, skew: int) -> None:
        self.process = process
        self._world = world
        self._offset = skew

    def now(self) -> int:
        """What it shows, in milliseconds since the epoch."""
        return self._world._now + self._offset

    def elapsed(self) -> int:
        """The world's time, which nobody sets."""
        return self._world._now

    def step(self, ms: int) -> None:
        """Somebody sets it."""
        self._offset += ms

    def call_at(self, when: int, callback: Callable[[], None]) -> ProcessAlarm:
        """Call when it shows `when` or later."""
        return ProcessAlarm(self, when, callback)

    def wake_after(self, ms: int, callback: Callable[[], None]) -> MemoryAlarm:
        """An alarm of the world, which counts time evenly."""
        ms = max(0, min(ms, LONGEST_SLEEP_MS))
        return self._world.call_at(self._world._now + ms, callback)
