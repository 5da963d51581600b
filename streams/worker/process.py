"""One worker process and the way to it: started by exec, asked, and killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from streams.errors import ProcessDied
from streams.jobs.notes import Says
from streams.worker.children import Appends
from streams.worker.pipe import Message, pack, read_appends, receive
from streams.worker.pipe_says import pass_on

logger = logging.getLogger(__name__)

START_WITHIN: Final = 120.0  # seconds for importing its handlers
EXIT_LOOK: Final = 0.005  # seconds between looks at one that is about to be gone


class Process:
    """One process, and the way to it."""

    def __init__(self, log: Appends, on_end: Callable[[Process], None]) -> None:
        self.jobs = 0
        self.is_lost = asyncio.Event()  # it is to take no more jobs
        self._log = log
        self._on_end = on_end
        self._child: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answer: asyncio.Future[tuple[Message, bytes]] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._says: Says | None = None  # of the job that it runs
        self._serving: set[asyncio.Task[None]] = set()
        self._end: str | None = None  # how it ended

    async def start(self, hello: Message) -> None:
        """Start it, and return once it has imported its modules.

        Raises:
            ProcessDied: it could not, and says why.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = _spawn(theirs.fileno())
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._listening = asyncio.create_task(self._listen(reader, self._child))
        try:
            async with asyncio.timeout(START_WITHIN):
                answer, _ = await self.ask(hello)
        except TimeoutError:
            raise ProcessDied(f"its handlers are not imported after {START_WITHIN} s") from None
        if answer["say"] == "failed":
            raise ProcessDied(f"importing its handlers failed:\n{answer['why']}")

    async def ask(
        self, message: Message, body: bytes = b"", says: Says | None = None
    ) -> tuple[Message, bytes]:
        """Say something that has an answer, and return that; `says` gets what is told meanwhile.

        Raises:
            ProcessDied: it ended before.
        """
        if self._end is not None:
            raise self._died()
        self._says = says
        self._answer = asyncio.get_running_loop().create_future()
        self._say(message, body)
        return await self._answer

    def _say(self, message: Message, body: bytes = b"") -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(pack(message, body))

    def _died(self) -> ProcessDied:
        return ProcessDied(f"the worker process {self._end}")

    def kill(self) -> None:
        """End it at once, and what it started."""
        child = self._child
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)

    async def end(self, within: float) -> None:
        """Let it end by itself, if it lives, for so many seconds."""
        self._say({"say": "end"})
        if self._listening is not None:
            await asyncio.wait([self._listening], timeout=within)

    async def gone(self) -> None:
        """Return once nothing is left of it."""
        if self._listening is not None:
            await asyncio.wait([self._listening])

    async def _listen(self, reader: asyncio.StreamReader, child: subprocess.Popen[bytes]) -> None:
        try:
            while True:
                message, body = await receive(reader)
                if message["say"] in ("append", "checkpoint"):
                    task = asyncio.create_task(self._serve(message, body))
                    self._serving.add(task)
                    task.add_done_callback(self._serving.discard)
                elif self._says is not None and pass_on(message, self._says):
                    pass
                elif self._answer is not None and not self._answer.done():
                    self._answer.set_result((message, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # its end is closed
        except Exception:  # a handler wrote into what is not its own, say
            logger.exception("what a worker process says can't be read: it is replaced")
        # Whatever it is doing without us; one that is about to end keeps its exit code.
        self.kill()
        while child.poll() is None:  # a moment; threads of the loop may all be in use
            await asyncio.sleep(EXIT_LOOK)
        self._end = told_end(child.returncode)
        self._on_end(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._died())
        assert self._writer is not None
        self._writer.close()

    async def _serve(self, message: Message, body: bytes) -> None:
        """Append what its handler sends, or keep its checkpoint."""
        offsets: Sequence[int] = ()
        try:
            if message["say"] == "append":
                offsets = await self._log.append(read_appends(message))
            elif self._says is not None:
                await self._says.checkpoint(body.decode())
        except Exception as error:  # it is raised where the handler called
            self._say({"say": "refused", "why": str(error)})
        else:
            self._say({"say": "ok", "offsets": list(offsets)})


def _spawn(end: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "streams.worker.process_main", str(end), str(os.getpid())]
    # A session of its own: Ctrl-C is ours, and what it starts can be killed with it.
    return subprocess.Popen(
        program, stdin=subprocess.DEVNULL, pass_fds=(end,), start_new_session=True
    )


def told_end(code: int) -> str:
    """How a process ended, from its exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (so does the kernel when memory runs out)" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"
