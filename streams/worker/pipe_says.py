"""What a handler in a worker process says of its job, on its way to the worker."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from streams.jobs.notes import LogLine, Progress, Says, progress_of
from streams.worker.pipe import Message, Pipe

TOLD_EVERY: Final = 0.2  # seconds; what comes between waits


class PipeSays:
    """See `jobs.notes.Says`; for the handler of one job, in its process."""

    def __init__(self, pipe: Pipe, checkpointed: str | None) -> None:
        self.checkpointed = checkpointed
        self._pipe = pipe
        self._lock = threading.Lock()
        self._untold: Progress | None = None
        self._told_at = 0.0
        self._is_closed = False

    def close(self) -> None:
        """Its job is over: what a thread of its handler says from now on is not the next one's."""
        self.flush()
        self._is_closed = True

    def progress(self, progress: Progress) -> None:
        """See `Says.progress`."""
        with self._lock:
            has_timer, self._untold = self._untold is not None, progress
        left = self._told_at + TOLD_EVERY - time.monotonic()
        if left <= 0:
            self.flush()
        elif not has_timer:  # the handler may not say anything more for a long time
            timer = threading.Timer(left, self.flush)
            timer.daemon = True
            timer.start()

    def flush(self) -> None:
        """Tell what waits; before the job is over."""
        with self._lock:
            progress, self._untold = self._untold, None
            if progress is not None and not self._is_closed:
                self._told_at = time.monotonic()
                told = [progress.processed, progress.total]
                self._pipe.say({"say": "progress", "progress": told})

    def line(self, line: LogLine) -> None:
        """See `Says.line`."""
        if self._is_closed:
            return
        told = [line.at, line.attempt, line.level, line.text]
        self._pipe.say({"say": "line", "line": told})

    async def checkpoint(self, value: str) -> None:
        """See `Says.checkpoint`."""
        if self._is_closed:
            raise asyncio.CancelledError("the attempt is over")
        self._pipe.keep_checkpoint(value)
        self.checkpointed = value


def pass_on(message: Message, says: Says) -> bool:
    """Say in the worker what a process told; False if it is something else."""
    match message["say"]:
        case "progress":
            says.progress(progress_of(*message["progress"]))
        case "line":
            at, attempt, level, text = message["line"]
            says.line(LogLine(at=at, attempt=attempt, level=level, text=text))
        case _:
            return False
    return True
