"""What is asked of the projection, beside the loop: so much at a time, and each for so long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection, DatabaseError, OperationalError
from typing import Final, Generic, TypeVar

from streams.console.faults import Faults, is_of_file
from streams.console.problems import unavailable
from streams.projection.connecting import connect

T = TypeVar("T")

AT_ONCE: Final = 4
WAITING_MAX: Final = 1_000
"""Questions that are not answered yet: who comes then is told to come again."""
LIMIT_S: Final = 10.0
"""For so long a question may wait and be looked into, together."""
_AGAIN_S: Final = 0.05


class _Asked(Generic[T]):
    """One question on its way; whoever has no time left ends it from another thread."""

    def __init__(self, question: Callable[[Connection], T]) -> None:
        self.is_late = False
        self._question = question
        self._db: Connection | None = None
        self._lock = threading.Lock()  # so that the next question on its connection is spared

    def answer(self, db: Connection) -> T:
        with self._lock:
            if self.is_late:
                raise OperationalError("interrupted")
            self._db = db
        try:
            return self._question(db)
        finally:
            with self._lock:
                self._db = None

    def interrupt(self) -> None:
        """Have the step end that it is in; between two steps there is nothing to end."""
        with self._lock:
            self.is_late = True
            if self._db is not None:
                self._db.interrupt()


class Questions:
    """Asks in a few threads, each with a connection of its own."""

    def __init__(
        self,
        faults: Faults,
        *,
        at_once: int = AT_ONCE,
        waiting_max: int = WAITING_MAX,
        limit_s: float = LIMIT_S,
    ) -> None:
        self.waiting = 0  # that have no answer yet
        self._faults = faults
        self._threads = ThreadPoolExecutor(at_once, "console-read")
        self._local = threading.local()
        self._waiting_max = waiting_max
        self._limit_s = limit_s

    async def ask(self, path: Path, generation: int, question: Callable[[Connection], T]) -> T:
        """The answer from the file at `path`; a connection is good for one generation of it.

        Raises:
            Problem: too many wait, it took too long, or the file has just gone.
        """
        if self.waiting >= self._waiting_max:
            raise unavailable(f"{self.waiting} questions wait to be answered here: ask again later")
        asked = _Asked(question)
        working = self._threads.submit(self._answer, path, generation, asked)
        answering = asyncio.wrap_future(working)
        self.waiting += 1
        answering.add_done_callback(self._note_answered)
        try:
            done, _ = await asyncio.wait((answering,), timeout=self._limit_s)
            if not done and working.cancel():  # its turn has not come
                raise unavailable("this could not be looked into in time: ask again later")
            if not done:
                self._end(asked, working)
            return await answering
        except asyncio.CancelledError:
            answering.cancel()
            self._end(asked, working)
            raise

    def close(self) -> None:
        """Wait for what is being looked into."""
        self._threads.shutdown()

    def _end(self, asked: _Asked[T], working: Future[T]) -> None:
        if not working.done():
            asked.interrupt()
            asyncio.get_running_loop().call_later(_AGAIN_S, self._end, asked, working)

    def _note_answered(self, answering: asyncio.Future[T]) -> None:
        self.waiting -= 1
        if not answering.cancelled():
            answering.exception()  # nobody may be there any more to hear of it

    def _answer(self, path: Path, generation: int, asked: _Asked[T]) -> T:
        try:
            if getattr(self._local, "generation", None) != generation:
                with suppress(AttributeError):
                    self._local.db.close()
                self._local.db = connect(path)
                self._local.generation = generation
            answer = asked.answer(self._local.db)
        except DatabaseError as error:
            if not is_of_file(error):
                raise
            self._local.generation = None  # what it is in the middle of goes with the connection
            if asked.is_late:
                raise unavailable(
                    "this takes too long to be found: ask for less of it, or again later"
                ) from error
            self._faults.take(error, generation)  # its file has just gone, say
            raise unavailable("the list of jobs is being made anew") from error
        self._faults.over()
        return answer
