"""Names the handler that blocks the event loop, and with it every other job of the worker."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Final

from streams.jobs.definition import JobDefinition
from streams.worker.attempt import Attempt
from streams.worker.executor import LoopExecutor

logger = logging.getLogger(__name__)

BLOCKED_S: Final = 0.1  # for longer, the loop is blocked
BEAT_S: Final = 0.02  # how often the loop says that it turns
TOLD_EVERY_S: Final = 60.0  # a handler is named once in that time

_RUNS_HANDLERS: Final = LoopExecutor._outcome.__code__
_WAITS: Final = frozenset({"run_forever", "run_until_complete", "_run_once", "select"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What the loop was doing when it was late."""

    name: str | None  # of the job; None: it is not known, or no handler
    id: str | None
    place: str  # file, line and function


class Watchdog:
    """Looks at the loop from a thread of its own; jobs pay nothing for it.

    `on_blocked` is called on the loop, as soon as it turns again, with the name of the job, and
    `on_beat` fifty times a second with how many milliseconds late that was.
    """

    def __init__(
        self,
        definitions: Iterable[JobDefinition],
        on_blocked: Callable[[str | None], None],
        on_beat: Callable[[int], None] = lambda late_ms: None,
    ) -> None:
        self._names = names_by_file(definitions)
        self._on_blocked = on_blocked
        self._on_beat = on_beat
        self._stopped = threading.Event()
        self._told: dict[str | None, float] = {}
        self._last_beat = 0.0
        self._next_beat: asyncio.TimerHandle | None = None
        self._outside: CodeType | None = None

    def start(self) -> None:
        """Watch the loop that runs here."""
        loop = asyncio.get_running_loop()
        loop.call_soon(self._begin, loop)

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        if self._next_beat is not None:
            self._next_beat.cancel()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        # Called by the loop itself: where that was called is where a loop that waits is found, if
        # it is native code.
        self._outside = sys._getframe(1).f_code
        self._beat(loop)
        args = (loop, threading.get_ident())
        threading.Thread(target=self._watch, args=args, name="watchdog", daemon=True).start()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        if self._next_beat is not None:
            self._on_beat(max(0, round((now - self._last_beat - BEAT_S) * 1000)))
        self._last_beat = now
        self._next_beat = loop.call_later(BEAT_S, self._beat, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop, watched: int) -> None:
        try:
            while self._wait_until_late():
                frame = sys._current_frames().get(watched)
                block = None
                if frame is not None and frame.f_code is not self._outside:
                    block = block_at(frame, self._names)
                del frame  # it holds all that it can see
                if block is not None:
                    self._tell(block)
                    loop.call_soon_threadsafe(self._on_blocked, block.name)
                self._wait_for_beat(self._last_beat)
        except RuntimeError:  # the loop is closed
            return

    def _wait_until_late(self) -> bool:
        """True as soon as the loop is late; False: stopped."""
        while True:
            beat, began, used = self._last_beat, time.monotonic(), time.process_time()
            wait = beat + BEAT_S + BLOCKED_S - began
            if self._stopped.wait(max(wait, 0.001)):
                return False
            if self._last_beat != beat:
                continue
            late = time.monotonic() - began - max(wait, 0.001)
            if not was_frozen(late, time.process_time() - used):
                return True
            if self._stopped.wait(2 * BEAT_S):  # then the loop had its turn as well
                return False

    def _wait_for_beat(self, last: float) -> None:
        while self._last_beat == last and not self._stopped.wait(BEAT_S):
            pass

    def _tell(self, block: Block) -> None:
        now = time.monotonic()
        if now < self._told.get(block.name, -TOLD_EVERY_S) + TOLD_EVERY_S:
            return
        self._told[block.name] = now
        if block.name is None:  # the engine, perhaps: a large partition is being opened, say
            logger.warning(
                "something blocks the event loop for more than %d ms at %s",
                BLOCKED_S * 1000,
                block.place,
            )
            return
        logger.warning(
            "handler %s (job %s) blocks the event loop, and all other jobs, for more than %d ms at "
            "%s: make it a def, which runs in a thread, or await asyncio.to_thread(...) there",
            block.name,
            block.id,
            BLOCKED_S * 1000,
            block.place,
        )


def was_frozen(late_s: float, used_s: float) -> bool:
    """Whether nothing of this process ran, so that nobody is to blame that the loop did not.

    The watching thread is late as well then. It also is when native code does not let go of the
    interpreter, but that uses the processor.
    """
    return late_s > BLOCKED_S / 2 and used_s < late_s / 2


def names_by_file(definitions: Iterable[JobDefinition]) -> dict[str, str | None]:
    """The files with handlers on the loop, each with the name of its job if there is one only."""
    names: dict[str, str | None] = {}
    for definition in definitions:
        if definition.runs_in == "loop":
            is_first = definition.file not in names
            names[definition.file] = definition.name if is_first else None
    return names


def block_at(frame: FrameType, names: dict[str, str | None]) -> Block | None:
    """Who is at work in this frame; None: nobody, the loop waits."""
    frames = list(_outwards(frame))
    runs = next((f for f in frames if f.f_code is _RUNS_HANDLERS), None)
    if runs is None and frame.f_code.co_name in _WAITS:
        return None
    attempt: Attempt | None = None if runs is None else runs.f_locals.get("attempt")
    file = None if attempt is None else attempt.definition.file
    # A task that a handler made for itself has no attempt, but code of its file.
    own = next((f for f in frames if _is_in(f, file, names)), None)
    if attempt is not None:
        return Block(name=attempt.job.name, id=attempt.job.id, place=_place(frame, own))
    name = None if own is None else names[own.f_code.co_filename]
    return Block(name=name, id=None, place=_place(frame, own))


def _is_in(frame: FrameType, file: str | None, names: dict[str, str | None]) -> bool:
    found = frame.f_code.co_filename
    return found in names if file is None else found == file


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frame: FrameType, own: FrameType | None) -> str:
    """Where it is in the handler's own file, and what it called there."""
    if own is None or own is frame:
        return _line(frame)
    return f"{_line(own)}, within {_line(frame)}"


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
