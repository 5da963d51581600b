"""The worker under test: `faust -A streams.app worker`, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self
from urllib.error import URLError
from urllib.request import urlopen

from streams.dev.bench.bench import BenchFailed
from streams.dev.children import end, spawn
from streams.dev.ports import free_port

FAUST: Final = (sys.executable, "-m", "faust", "-A", "streams.app", "worker")
_READY_S: Final = 300.0
_STOP_S: Final = 40.0


class BenchProcess:
    """A child that is watched; leaving it kills it."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], log: Path, cwd: Path | None = None
    ) -> None:
        self._command = command
        self._environment = dict(environment)
        self._log = log
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self.started = 0.0  # by time.monotonic()

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        with self._log.open("ab") as output:
            self._process = spawn(
                self._command, output=output, env=self._environment, cwd=self._cwd
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def check(self) -> None:
        """Nothing, as long as it runs.

        Raises:
            BenchFailed: it has ended.
        """
        assert self._process is not None
        if self._process.poll() is not None:
            raise BenchFailed(
                f"a process ended with exit code {self._process.returncode}; "
                f"it said last:\n{self.said}"
            )

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and wait until it has drained and committed.

        Raises:
            BenchFailed: it did not end well.
        """
        assert self._process is not None
        code = await asyncio.to_thread(end, self._process, _STOP_S)
        if code != 0:
            self.check()


class BenchWorker(BenchProcess):
    """A worker with default settings, but for what is given; no `STREAMS_*` of ours reaches it."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        folder: Path,
        *,
        command: Sequence[str] = FAUST,
        **settings: str,
    ) -> None:
        self._port = free_port()
        kept = {n: v for n, v in os.environ.items() if not n.startswith("STREAMS_")}
        name = settings.pop("name", "worker")
        super().__init__(
            list(command),
            {
                **kept,
                "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
                "STREAMS_PREFIX": prefix,
                "STREAMS_HANDLERS": "streams.dev.bench.handlers",
                "STREAMS_DATA_DIR": str(folder / name),
                "STREAMS_WEB_PORT": str(self._port),
                # One line for each job would be measured as well.
                "STREAMS_LOG_LEVEL": "warning",
                **settings,
            },
            folder / f"{name}.log",
        )

    async def ready(self, patience_s: float = _READY_S) -> float:
        """Seconds from its start until it says that every partition is recovered.

        Raises:
            BenchFailed: it did not in time, or has ended.
        """
        while time.monotonic() - self.started < patience_s:
            self.check()
            if await asyncio.to_thread(self._answers_ready):
                return time.monotonic() - self.started
            await asyncio.sleep(0.02)
        raise BenchFailed(f"the worker was not ready within {patience_s:.0f} s")

    def _answers_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):  # not listening yet, or 503
            return False
