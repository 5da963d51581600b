"""Runs functions in threads, and counts those that go on though their attempt is over."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Thread:
    is_over: bool = False  # its function returned
    is_abandoned: bool = False  # nobody waits for it


class Threads:
    """A thread for each call, which a cancellation leaves behind: nothing can stop it.

    How many run side by side is bounded by the executor's slots. A thread that is left behind
    frees its slot, up to `abandoned_max` of them; from then on each keeps its slot until its
    function returns, so that there are never more than that beside the slots. `add_slots` is told
    how many slots there are more, or less.
    """

    def __init__(self, add_slots: Callable[[int], None], *, abandoned_max: int) -> None:
        self.abandoned = 0  # that have not returned
        self._add_slots = add_slots
        self._abandoned_max = abandoned_max

    async def run(
        self, name: str, call: Callable[[], Any], on_abandoned: Callable[[], None]
    ) -> Any:
        """Call a function in a thread of its own, and return what it returns.

        The thread is a daemon, so that a function that never ends does not hold the worker's exit.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Any] = loop.create_future()
        variables = contextvars.copy_context()
        thread = _Thread()

        def tell(result: Any, error: BaseException | None) -> None:
            thread.is_over = True
            if thread.is_abandoned:
                self._count(-1)
            elif ended.done():
                pass  # it was cancelled just now: whoever waits has not heard of it yet
            elif error is None:
                ended.set_result(result)
            else:
                ended.set_exception(error)

        def work() -> None:
            result: Any = None
            failed: BaseException | None = None
            try:
                result = variables.run(call)
            except StopIteration as error:  # a future does not take it
                failed = RuntimeError(f"the handler raised {error!r}")
            except BaseException as error:
                failed = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell, result, failed)

        threading.Thread(target=work, name=name, daemon=True).start()
        try:
            return await ended
        except asyncio.CancelledError:
            if not thread.is_over:
                thread.is_abandoned = True
                self._count(+1)
                on_abandoned()
            raise

    @property
    def problem(self) -> str | None:
        """What is wrong, and what to do; None: nothing is."""
        if not self.abandoned or self.abandoned < self._abandoned_max:
            return None
        return (
            f"threads that go on though their attempts are over: {self.abandoned}, and "
            f"STREAMS_ABANDONED_THREADS is {self._abandoned_max}: each further one keeps its slot "
            "until its function returns; give what these functions call a timeout of its own, and "
            "restart this worker"
        )

    def _count(self, change: int) -> None:
        before = self._kept_slots
        had_problem = self.problem is not None
        self.abandoned += change
        if not had_problem and self.problem is not None:
            logger.error("%s", self.problem)
        if before != self._kept_slots:
            self._add_slots(before - self._kept_slots)

    @property
    def _kept_slots(self) -> int:
        return max(0, self.abandoned - self._abandoned_max)


def waiting_on(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """For functions in threads: run a coroutine on the worker's loop, and wait for its result."""

    def wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread, as it should be
            if asyncio.get_running_loop() is loop:
                coroutine.close()
                raise AssertionError("a function's context was used on the loop itself")
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
        except concurrent.futures.CancelledError:  # which `except Exception` would catch
            raise asyncio.CancelledError("the attempt is over") from None

    return wait
