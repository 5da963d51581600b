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

logger = logging.getLogger(__name__)

MISCONFIGURED: Final = 2  # a worker's exit code for what starting it again does not mend
PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before a start, by failures in a row
LASTING: Final = 60.0  # seconds after which a process that ends was no failure to start


def pause_before_restart(failures: int) -> float:
    """Seconds to wait before the next start, after so many short lives in a row (from 1)."""
    return PAUSES[min(failures, len(PAUSES)) - 1]


@dataclass(slots=True)
class Child:
    """One of the workers, whichever process it is now."""

    number: int
    port: int  # of its web server, on loopback
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0  # short lives in a row


class Children:
    """Keeps `count` workers running until told to end."""

    def __init__(self, count: int, environment: Mapping[str, str], instance: str) -> None:
        self._environment = dict(environment)
        self._instance = instance
        self._ends = asyncio.Event()
        self._signals = 0
        self.children = [Child(number, free_port()) for number in range(1, count + 1)]

    async def run(self) -> int:
        """The exit code, once all have ended: 0 if each of them ended in good order."""
        codes = await asyncio.gather(*(self._keep(child) for child in self.children))
        if MISCONFIGURED in codes:  # the others were told to end because of it
            return MISCONFIGURED
        return next((code for code in codes if code), 0)

    def end(self, number: signal.Signals) -> None:
        """Pass a signal on to all: the first drains them, a second ends them at once."""
        self._ends.set()
        self._signals += 1
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(number)

    async def _keep(self, child: Child) -> int:
        """Run one worker, again and again; the exit code of its last process."""
        code = 0
        while not self._ends.is_set():
            began = time.monotonic()
            child.process = self._start(child)
            code = await _ended(child.process)
            if self._ends.is_set():
                if code in (-signal.SIGTERM, -signal.SIGINT) and self._signals == 1:
                    code = 0  # it had not come so far as to listen
                break
            if code == MISCONFIGURED:  # it has said what is wrong
                self.end(signal.SIGTERM)
                break
            child.failures = 1 if time.monotonic() - began > LASTING else child.failures + 1
            pause = pause_before_restart(child.failures)
            logger.error(
                "worker %d ended by itself (%s); starting it again in %.0f s",
                child.number,
                told(code),
                pause,
            )
            code = 0  # what counts is how it ends when it is told to
            await self._rest(pause)
        return code

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ends.wait()
        except TimeoutError:
            return

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        more = {"STREAMS_WEB_HOST": "127.0.0.1", "STREAMS_WEB_PORT": str(child.port)}
        if self._instance:  # a static member's name is its own
            more["STREAMS_INSTANCE"] = f"{self._instance}-{child.number}"
        # From this thread, the main one: the kernel ends them with it.
        return spawn(WORKER, env={**self._environment, **more})


WORKER: Final = [sys.executable, "-m", "faust", "--quiet", "-A", "streams.app", "worker"]


def told(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; a signal that killed it is a negative number."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    watched = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
    if watched is None:  # not Linux
        return await asyncio.to_thread(process.wait)
    try:
        loop.add_reader(watched, over.set)
        await over.wait()
        return process.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)
