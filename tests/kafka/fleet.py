"""Workers of one test: started, frozen, killed and waited for."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from effects import Lines, lines, until
from worker_process import WorkerProcess

SESSION = "6s"  # the shortest that leaves a lease longer than the time between two heartbeats


class Worker(WorkerProcess):
    """A worker whose handlers tell in the effects file what they do, and in which process."""

    def __init__(
        self, kafka: str, prefix: str, folder: Path, *, name: str, **variables: str
    ) -> None:
        super().__init__(
            kafka,
            prefix,
            variables.pop("handlers", "fault_handlers"),
            folder / name,
            **{
                "STREAMS_QUEUES": "default",
                "STREAMS_SESSION_TIMEOUT": SESSION,
                "EFFECTS": str(folder / "effects"),
                **variables,
            },
        )
        self.name = name
        self.pids: list[int] = []  # of all its processes, oldest first

    def start(self) -> None:
        """Start it, or start it again."""
        super().start()
        assert self.process is not None
        self.pids.append(self.process.pid)

    @property
    def pid(self) -> int:
        """Its latest process."""
        return self.pids[-1]

    @property
    def runs(self) -> bool:
        """Whether its process has not ended."""
        return self.process is not None and self.process.poll() is None

    def freeze(self) -> None:
        """SIGSTOP: it does nothing, and does not know it."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def until_figure(self, name: str, at_least: float, timeout_s: float = 60) -> None:
        """Return once this metric, added up, has got so far; its STREAMS_WEB_PORT must be known."""
        limit = time.monotonic() + timeout_s
        while (found := await asyncio.to_thread(self.figure, name)) < at_least:
            assert self.runs, self.log
            assert time.monotonic() < limit, f"{name} is {found}, not {at_least}\n{self.log}"
            await asyncio.sleep(0.05)

    def figure(self, name: str) -> float:
        """A metric as it is now, added up; `name` is a pattern."""
        try:
            url = f"http://127.0.0.1:{self._environment['STREAMS_WEB_PORT']}/metrics"
            with urlopen(url, timeout=10) as answer:
                text = answer.read().decode()
        except URLError:  # it does not listen yet
            return 0
        return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M)))


class Fleet:
    """The workers of one prefix, and what their handlers did."""

    def __init__(self, kafka: str, prefix: str, folder: Path, **variables: str) -> None:
        self.workers: dict[str, Worker] = {}
        self.effects = folder / "effects"
        self._new = lambda name, more: Worker(
            kafka, prefix, folder, name=name, **{**variables, **more}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            if worker.runs:
                worker.kill()

    def start(self, name: str, **variables: str) -> Worker:
        """A new worker, or one that ran before, on the disk that it had."""
        if name not in self.workers:
            self.workers[name] = self._new(name, variables)
        self.workers[name].start()
        return self.workers[name]

    @property
    def running(self) -> list[Worker]:
        """Those whose process has not ended."""
        return [worker for worker in self.workers.values() if worker.runs]

    @property
    def lines(self) -> Lines:
        """What happened so far."""
        return lines(self.effects)

    async def until(self, enough: Callable[[Lines], bool], timeout_s: float = 120) -> Lines:
        """What happened, once it is enough."""
        return await until(self.effects, enough, self.logs, timeout_s)

    async def until_each(
        self, what: str, name: str, numbers: set[int], *, in_: Worker | None = None
    ) -> Lines:
        """What happened, once this happened to all these jobs (in one worker)."""

        def enough(found: Lines) -> bool:
            return numbers <= happened(found, what, name, in_)

        return await self.until(enough)

    def logs(self) -> str:
        """What the workers said, but for jobs."""
        return "\n".join(
            f"--- {worker.name} {worker.pids}\n"
            + "\n".join(line for line in worker.log.splitlines() if _is_told(line))
            for worker in self.workers.values()
        )


def happened(found: Lines, what: str, name: str, in_: Worker | None = None) -> set[int]:
    """The numbers of the jobs to which this happened (in one worker)."""
    pids = None if in_ is None else {str(pid) for pid in in_.pids}
    return {
        int(number)
        for event, job, _, number, pid, *_ in found
        if event == what and job == name and (pids is None or pid in pids)
    }


def _is_told(line: str) -> bool:
    """Whether a line of a worker's log is not about one job."""
    return line[:2] == "20" and "[streams.jobs]" not in line
