"""The worker processes of one supervisor: started, restarted when they end, and ended together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streams.dev.children import spawn
from streams.dev.ports import free_port
from streams.settings import SUPERVISED

logger = logging.getLogger(__name__)

MISCONFIGURED: Final = 2  # a worker's exit code for what starting it again does not mend
PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before a start, by failures in a row
LASTING: Final = 60.0  # seconds after which a process that ends was no failure to start
KILLED_AFTER: Final = 20.0  # seconds beyond the grace period; a worker ends itself after 15


def pause_before_restart(failures: int) -> float:
    """Seconds to wait before the next start, after so many short lives in a row (from 1)."""
    return PAUSES[min(failures, len(PAUSES)) - 1]


@dataclass(slots=True)
class Child:
    """One of the workers, whichever process it is now."""

    number: int
    port: int = 0  # of its web server, on loopback; another one for each process
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0  # when its process did, by `time.monotonic`
    is_over: bool = True  # that process has ended
    failures: int = 0  # short lives in a row
    has_lasted: bool = False  # an earlier process did

    def lasts(self, now: float) -> bool:
        """Whether it runs well, or did: what another says of its settings is not true of all."""
        return self.has_lasted or (not self.is_over and now - self.began > LASTING)


class Children:
    """Keeps `count` workers running until told to end; `grace` in seconds."""

    def __init__(
        self, count: int, environment: Mapping[str, str], instance: str, grace: float
    ) -> None:
        self._environment = dict(environment)
        self._instance = instance
        self._grace = grace
        self._ends = asyncio.Event()
        self._killed_by: signal.Signals | None = None
        self.children = [Child(number) for number in range(1, count + 1)]

    async def run(self) -> int:
        """The exit code, once all have ended: 0 if each of them ended in good order."""
        keeping = [asyncio.create_task(self._keep(child)) for child in self.children]
        try:
            codes = await asyncio.gather(*keeping)
        except BaseException:
            self.end(signal.SIGTERM)  # the others end in good order first
            await asyncio.gather(*keeping, return_exceptions=True)
            raise
        if MISCONFIGURED in codes:  # the others were told to end because of it
            return MISCONFIGURED
        if self._killed_by is not None:
            return 128 + self._killed_by
        return next((code for code in codes if code), 0)

    def end(self, number: signal.Signals) -> None:
        """The first time all are drained, the second time they end at once."""
        if self._ends.is_set():
            self._killed_by = number
            self._signal(signal.SIGKILL)  # at every moment a kill loses nothing
            return
        self._ends.set()
        logger.info("stopping all workers; a second signal ends them at once")
        self._signal(signal.SIGTERM)
        later = self._grace + KILLED_AFTER
        asyncio.get_running_loop().call_later(later, self._signal, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(number)

    async def _keep(self, child: Child) -> int:
        """Run one worker, again and again; the exit code of its last process."""
        while True:
            child.began, child.is_over = time.monotonic(), False
            code = await self._run_once(child)
            child.is_over, now = True, time.monotonic()
            lasted = now - child.began > LASTING
            child.has_lasted = child.has_lasted or lasted
            if self._ends.is_set():
                # One that is stopped so early does not listen yet.
                return 0 if code == -signal.SIGTERM else code
            if code == MISCONFIGURED and not any(one.lasts(now) for one in self.children):
                self.end(signal.SIGTERM)  # it has said what is wrong
                return code
            child.failures = 1 if lasted else child.failures + 1
            # Others run well with other code or settings: a deployment may be half way.
            pause = PAUSES[-1] if code == MISCONFIGURED else pause_before_restart(child.failures)
            logger.error(
                "worker %d ended by itself (%s); starting it again in %.0f s",
                child.number,
                told(code),
                pause,
            )
            if await self._is_told_to_end_within(pause):
                return 0

    async def _run_once(self, child: Child) -> int:
        """Start it and wait for its end; a start that fails is an end with 1."""
        try:
            child.process = self._start(child)
        except OSError as error:  # no memory, say
            logger.error("worker %d could not be started: %s", child.number, error)
            return 1
        return await _ended(child.process)

    async def _is_told_to_end_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ends.wait()
        except TimeoutError:
            return False
        return True

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        child.port = free_port()
        more = {
            SUPERVISED: "1",
            "STREAMS_WEB_HOST": "127.0.0.1",
            "STREAMS_WEB_PORT": str(child.port),
        }
        if self._instance:  # a static member's name is its own
            more["STREAMS_INSTANCE"] = f"{self._instance}-{child.number}"
        # From this thread, the main one: the kernel ends them with it.
        return spawn(WORKER, env={**self._environment, **more}, merged=False)


WORKER: Final = [sys.executable, "-m", "faust", "--quiet", "-A", "streams.app", "worker"]


def told(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        known = -code in set(signal.Signals)
        return f"killed by {signal.Signals(-code).name if known else f'signal {-code}'}"
    return f"exit code {code}"


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; a signal that killed it is a negative number."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    try:
        watched = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or not allowed
        return await asyncio.to_thread(process.wait)
    try:
        loop.add_reader(watched, over.set)
        await over.wait()
        return process.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)
