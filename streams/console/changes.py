"""Who wants to hear of changes of jobs; a listener that does not keep up is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from streams.projection.row import Row

WAITING_MAX: Final = 256
"""Changes that a listener may be behind."""


class Listener:
    """One that waits for changes: `get` gives the next; None: it was too slow, and is dropped."""

    def __init__(self, wants: Callable[[Row], bool]) -> None:
        self.wants = wants
        self.is_dropped = False
        self._rows: asyncio.Queue[Row | None] = asyncio.Queue()

    def put(self, row: Row) -> None:
        """A change that it may want."""
        if self.is_dropped or not self.wants(row):
            return
        if self._rows.qsize() >= WAITING_MAX:
            self.is_dropped = True
            while not self._rows.empty():
                self._rows.get_nowait()
            self._rows.put_nowait(None)
        else:
            self._rows.put_nowait(row)

    async def get(self) -> Row | None:
        """The next change."""
        return await self._rows.get()


class Changes:
    """Passes each change on to all that want it."""

    def __init__(self) -> None:
        self._of_id: dict[int, set[Listener]] = {}
        self._of_all: set[Listener] = set()

    def publish(self, rows: Sequence[Row]) -> None:
        """Pass on what has changed."""
        if not self._of_id and not self._of_all:
            return
        for row in rows:
            for listener in self._of_id.get(row.hash, ()):
                listener.put(row)
            for listener in self._of_all:
                listener.put(row)

    @contextmanager
    def of_job(self, row: Row) -> Iterator[Listener]:
        """Hear of one job."""
        listener = Listener(lambda other: other.n == row.n)
        self._of_id.setdefault(row.hash, set()).add(listener)
        try:
            yield listener
        finally:
            listeners = self._of_id[row.hash]
            listeners.discard(listener)
            if not listeners:
                del self._of_id[row.hash]

    @contextmanager
    def of_all(self, wants: Callable[[Row], bool] = lambda row: True) -> Iterator[Listener]:
        """Hear of all that are wanted."""
        listener = Listener(wants)
        self._of_all.add(listener)
        try:
            yield listener
        finally:
            self._of_all.discard(listener)
