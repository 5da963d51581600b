"""Keeps what handlers say while they run: checkpoints at once, progress and log lines by and by."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Final

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.notes import LogLine, Notebook, Progress
from streams.worker.attempt import Attempt
from streams.worker.owned import Owned
from streams.worker.ports import Hears
from streams.worker.settlement import Settlement
from streams.worker.takeover import TakeOvers

TELL_MS: Final = 1_000  # how often listeners are told of one job's progress
WRITE_MS: Final = 2_000  # how often what is said of one job is written, while it runs
BYTES_PER_MS: Final = 50  # less often for a job whose entry is large


class AttemptSays:
    """Where the context of one attempt puts what its handler says: see `jobs.notes.Says`.

    News is in the notebook before `untold` and `unwritten` are looked at; whoever tells or writes
    it resets these before he looks into it. So nothing that another thread says is missed.
    """

    __slots__ = ("_attempt", "_hears", "_loop", "_thread")

    def __init__(
        self,
        attempt: Attempt,
        hears: Hears | None,
        loop: asyncio.AbstractEventLoop,
        thread: int,
    ) -> None:
        self._attempt = attempt
        self._hears = hears
        self._loop = loop
        self._thread = thread  # that runs the loop

    @property
    def _notebook(self) -> Notebook:
        notebook = self._attempt.notebook
        if notebook is None:
            notebook = self._attempt.notebook = Notebook()
        return notebook

    @property
    def checkpointed(self) -> str | None:
        """See `Says.checkpointed`."""
        notebook = self._attempt.notebook
        return None if notebook is None else notebook.checkpointed

    def progress(self, progress: Progress) -> None:
        """See `Says.progress`."""
        notebook = self._notebook
        notebook.latest = progress
        if not (notebook.untold and notebook.unwritten):
            notebook.untold = notebook.unwritten = True
            self._be_heard()

    def line(self, line: LogLine) -> None:
        """See `Says.line`."""
        notebook = self._notebook
        notebook.lines.append(line)
        self._be_written(notebook)

    def hold(self, value: str) -> None:
        """Take a checkpoint, and do not wait until it is written."""
        notebook = self._notebook
        notebook.checkpointed = value
        self._be_written(notebook)

    async def checkpoint(self, value: str) -> None:
        """See `Says.checkpoint`."""
        self._notebook.checkpointed = value
        if self._hears is not None:
            await self._hears.keep_checkpoint(self._attempt)

    def _be_written(self, notebook: Notebook) -> None:
        if not notebook.unwritten:
            notebook.unwritten = True
            self._be_heard()

    def _be_heard(self) -> None:
        if self._hears is None:
            return
        if threading.get_ident() == self._thread:
            self._hears.hear(self._attempt)
        else:
            self._loop.call_soon_threadsafe(self._hears.hear, self._attempt)


class Noted:
    """What the handlers of one partition said, and is to be told or written."""

    def __init__(self, owned: Owned, take_overs: TakeOvers) -> None:
        self._owned = owned
        self._take_overs = take_overs
        self._waiting: deque[tuple[Attempt, asyncio.Future[None]]] = deque()
        self._unkept: set[asyncio.Future[None]] = set()  # those, and those that are being written
        self._heard: dict[Attempt, None] = {}
        self.is_given_up = False  # the partition is not ours any more
        self._next: int | None = None  # when to look at what was heard; never later than needed

    def __bool__(self) -> bool:
        """Whether somebody waits for a write."""
        return bool(self._waiting)

    def keep(self, attempt: Attempt) -> asyncio.Future[None]:
        """See `Hears.keep_checkpoint`."""
        kept = asyncio.get_running_loop().create_future()
        if self.is_given_up:
            kept.cancel()
        else:
            self._waiting.append((attempt, kept))
            self._unkept.add(kept)
            kept.add_done_callback(self._unkept.discard)
        return kept

    def hear(self, attempt: Attempt, now: int) -> None:
        """There is news of an attempt."""
        notebook = attempt.notebook
        if self.is_given_up or notebook is None:
            return
        if self._owned.hand.get(attempt.state_key) is not attempt:
            return
        self._heard[attempt] = None
        due = _due(attempt, notebook)
        self._next = due if self._next is None else min(self._next, due)

    def forget(self, attempt: Attempt) -> None:
        """It has ended: its outcome takes along what was said."""
        self._heard.pop(attempt, None)

    def next_due(self) -> int | None:
        """When something is to be told or written."""
        return self._next if self._heard else None

    def keep_all(self, settlement: Settlement, now: int) -> None:
        """Write the checkpoints that somebody waits for, and what was said some time ago."""
        waiting, self._waiting = self._waiting, deque()
        for attempt, kept in waiting:
            if kept.done():
                continue  # nobody waits any more
            if self._owned.hand.get(attempt.state_key) is not attempt or attempt.is_over:
                kept.cancel()
            elif attempt.lane in settlement.passed:
                # Its entry must not come before the ends of those before it in its key.
                self._waiting.append((attempt, kept))
            else:
                self._write(attempt, settlement, now)
                settlement.awaited.append(kept)
                settlement.events.append(self._event(Happening.CHECKPOINTED, attempt, now))
        if self._next is not None and self._next <= now:
            self._look(settlement, now)

    def give_up(self) -> None:
        """The partition is not ours any more: nothing is kept, and nobody has to wait."""
        self.is_given_up = True
        for kept in list(self._unkept):
            kept.cancel()
        self._waiting.clear()
        self._heard.clear()

    def _look(self, settlement: Settlement, now: int) -> None:
        self._next = None
        heard, self._heard = self._heard, {}
        for attempt in heard:
            notebook = attempt.notebook
            if notebook is None or attempt.is_over:
                continue
            if self._owned.hand.get(attempt.state_key) is not attempt:
                continue
            if notebook.untold and now >= notebook.told_at + TELL_MS:
                self._tell(attempt, notebook, settlement, now)
            is_free = attempt.lane not in settlement.passed
            if is_free and notebook.unwritten and now >= _write_at(attempt, notebook):
                self._write(attempt, settlement, now)
            if notebook.untold or notebook.unwritten:
                self.hear(attempt, now)

    def _tell(self, attempt: Attempt, notebook: Notebook, settlement: Settlement, now: int) -> None:
        notebook.untold, notebook.told_at = False, now
        event = self._event(Happening.PROGRESS, attempt, now, notebook.latest)
        settlement.events.append(event)

    def _event(
        self, happening: Happening, attempt: Attempt, now: int, progress: Progress | None = None
    ) -> LifecycleEvent:
        return LifecycleEvent(
            happening=happening,
            at=now,
            queue=self._owned.place.queue,
            name=attempt.job.name,
            id=attempt.job.id,
            key=attempt.job.ordering_key,
            attempt=attempt.number,
            progress=progress,
            traceparent=attempt.envelope.traceparent,
        )

    def _write(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        notebook = attempt.notebook
        assert notebook is not None
        notebook.unwritten, notebook.written_at = False, now
        self._take_overs.take_over(attempt, settlement, now)


def _due(attempt: Attempt, notebook: Notebook) -> int:
    times = []
    if notebook.untold:
        times.append(notebook.told_at + TELL_MS)
    if notebook.unwritten:
        times.append(_write_at(attempt, notebook))
    return min(times, default=0)


def _write_at(attempt: Attempt, notebook: Notebook) -> int:
    size = len(attempt.envelope.payload) + len(notebook.checkpointed or "")
    since = max(notebook.written_at, attempt.started or 0)
    return since + max(WRITE_MS, size // BYTES_PER_MS)
