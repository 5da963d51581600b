"""Worker processes: warm, one job at a time each, killed on a cancel or a timeout, and replaced."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.errors import ProcessDied
from streams.jobs.context import JobContext
from streams.jobs.outcome import Outcome
from streams.jobs.retry import Exponential, Fixed
from streams.wire.options import JobOverrides, encode_overrides
from streams.worker.attempt import Attempt
from streams.worker.children import Appends
from streams.worker.pipe import Message, read_outcome
from streams.worker.process import Process

logger = logging.getLogger(__name__)

PAUSES: Final = (1.0, 2.0, 5.0, 15.0, 30.0)  # seconds between tries to start one that can't
END_WITHIN: Final = 5.0  # seconds for one that is replaced; then it is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """What a pool is told."""

    modules: Sequence[str]  # with the handlers that run in it: imported before a process is ready
    count: int
    jobs_max: int = 1_000  # after so many a process is replaced
    memory_max: int = 1024 * 1024 * 1024  # likewise, once it has so many bytes resident
    prefix: str = ""  # of topics
    log_format: str = "console"
    log_level: str = "INFO"


class ProcessPool:
    """Keeps so many processes at hand; a process is a slot of the executor once it is ready.

    They are started by exec, never forked: a copy of this process, with its threads and its store,
    could not be trusted. The kernel kills them when the thread that started them ends, so that
    they never outlive us: `start` belongs into the main thread.
    """

    def __init__(
        self,
        options: PoolOptions,
        log: Appends,
        on_failure: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._options = options
        self._log = log
        self._on_failure = on_failure  # it can't go on: the worker must end
        self._add_slots: Callable[[int], None] = lambda more: None
        self._idle: deque[Process] = deque()
        self._idle_again = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._ready: set[Process] = set()  # that run a job, or could
        self.problem: str | None = None  # why none can be started

    @property
    def ready(self) -> int:
        """How many run a job, or could."""
        return len(self._ready)

    def attach(self, add_slots: Callable[[int], None]) -> None:
        """Say who is to be told how many slots there are more, or less."""
        self._add_slots = add_slots

    def start(self) -> None:
        """Start them all, and replace from now on what ends."""
        for number in range(self._options.count):
            keeper = asyncio.create_task(self._keep_or_tell(), name=f"process-{number}")
            self._keepers.append(keeper)

    async def stop(self) -> None:
        """Kill them all."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def run(self, attempt: Attempt, context: JobContext) -> Outcome:
        """Run a handler in a process, and return its outcome; a cancellation kills the process.

        Raises:
            ProcessDied: it ended in the middle of it.
        """
        process = await self._take()
        handler = attempt.definition.handler
        message = {
            "say": "run",
            "module": handler.__module__,
            "handler": handler.__qualname__,
            "context": context.plain(),
            "checkpointed": context.says.checkpointed,
            "retry": retry_told(attempt),
        }
        try:
            answer, result = await process.ask(message, attempt.envelope.payload, context.says)
        except BaseException:
            self._lose(process)
            process.kill()
            raise
        process.jobs += 1
        if process.jobs >= self._options.jobs_max or answer["memory"] >= self._options.memory_max:
            logger.info(
                "a worker process is replaced after %d jobs, with %d MB",
                process.jobs,
                answer["memory"] // 1_048_576,
            )
            self._lose(process)
        else:
            self._put_back(process)
        return read_outcome(answer, result)

    async def _take(self) -> Process:
        while not self._idle:  # one has just ended: there are no more slots than processes
            self._idle_again.clear()
            await self._idle_again.wait()
        return self._idle.popleft()

    def _put_back(self, process: Process) -> None:
        if process in self._ready:
            self._idle.append(process)
            self._idle_again.set()

    def _welcome(self, process: Process) -> None:
        """It is ready: there is a slot more."""
        if not process.is_lost.is_set():
            self._ready.add(process)
            self._put_back(process)
            self._add_slots(+1)

    def _lose(self, process: Process) -> None:
        """It takes no more jobs: its slot is gone until another one is ready."""
        process.is_lost.set()
        if process in self._ready:
            self._ready.remove(process)
            if process in self._idle:
                self._idle.remove(process)
            self._add_slots(-1)

    async def _keep_or_tell(self) -> None:
        try:
            await self._keep_one()
        except Exception as error:
            logger.exception("keeping a worker process failed")
            self._on_failure(error)

    async def _keep_one(self) -> None:
        failures = 0
        while True:
            process = Process(self._log, self._lose)
            try:
                await process.start(self._hello())
                failures, self.problem = 0, None
                self._welcome(process)
                await process.is_lost.wait()
                await process.end(END_WITHIN)
            except (ProcessDied, OSError) as error:
                if not self.ready:
                    self.problem = f"no worker process can be started: {error}"
                logger.error("a worker process did not start: %s", error)
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
            finally:
                process.kill()
                await process.gone()

    def _hello(self) -> Message:
        options = self._options
        return {
            "say": "hello",
            "path": sys.path,
            "modules": list(options.modules),
            "prefix": options.prefix,
            "log_format": options.log_format,
            "log_level": options.log_level,
        }


def retry_told(attempt: Attempt) -> str:
    """How often and when it is tried again, as far as it may differ from the definition's."""
    backoff = attempt.retry.backoff
    plain = backoff if isinstance(backoff, Exponential | Fixed) else None
    return encode_overrides(JobOverrides(attempts=attempt.retry.attempts, backoff=plain)).decode()


def cores() -> int:
    """How many processes can run at the same time here."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def modules_of(definitions: Sequence[Any]) -> list[str]:
    """The modules of all handlers that run in processes, each once."""
    found = (d.handler.__module__ for d in definitions if d.runs_in == "process")
    return list(dict.fromkeys(found))
