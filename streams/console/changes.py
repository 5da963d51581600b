"""Who wants to hear of changes of jobs; a listener that does not keep up is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from streams.projection.job import Job
from streams.projection.kinds import Kinds
from streams.projection.row import Row

WAITING_MAX: Final = 256
"""Changes that a listener may be behind."""


class Listener:
    """One that waits for changes of a job.

    `get` gives the next; None: it was too slow, and is dropped.
    """

    def __init__(self, of: Job) -> None:
        self._identity = of.identity
        self.is_dropped = False
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue()

    def put(self, job: Job) -> None:
        """A change that may be of its job."""
        if self.is_dropped or job.identity != self._identity:
            return
        if self._jobs.qsize() >= WAITING_MAX:
            self.is_dropped = True
            while not self._jobs.empty():
                self._jobs.get_nowait()
            self._jobs.put_nowait(None)
        else:
            self._jobs.put_nowait(job)

    async def get(self) -> Job | None:
        """The next change."""
        return await self._jobs.get()


class Changes:
    """Passes each change on to all that want it."""

    def __init__(self) -> None:
        self._of_id: dict[int, set[Listener]] = {}  # by the hash of an id

    def publish(self, rows: Sequence[Row], kinds: Kinds) -> None:
        """Pass on what has changed; `kinds` are of the file that the rows are in."""
        if not self._of_id:
            return
        for row in rows:
            if listeners := self._of_id.get(row.hash):
                job = Job.of(row, kinds)
                for listener in listeners:
                    listener.put(job)

    @contextmanager
    def of_job(self, job: Job) -> Iterator[Listener]:
        """Hear of one job."""
        listener = Listener(job)
        hash = job.row.hash
        self._of_id.setdefault(hash, set()).add(listener)
        try:
            yield listener
        finally:
            listeners = self._of_id[hash]
            listeners.discard(listener)
            if not listeners:
                del self._of_id[hash]
