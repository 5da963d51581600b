"""A worker in a process of its own, as users start it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar, Self

from streams.dev.children import end, spawn

FAUST = Path(sys.executable).with_name("faust")


class WorkerProcess:
    """`faust -A streams.app worker` with the settings of one test."""

    command: ClassVar[tuple[str, ...]] = (str(FAUST), "-A", "streams.app", "worker")

    def __init__(
        self, kafka: str, prefix: str, handlers: str, folder: Path, **variables: str
    ) -> None:
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "STREAMS_PREFIX": prefix,
            "STREAMS_HANDLERS": handlers,
            "STREAMS_PARTITIONS": "2",
            "STREAMS_DATA_DIR": str(folder / "data"),
            "STREAMS_WEB_PORT": "0",
            "PYTHONPATH": str(Path(__file__).parent),
            "PYTHONFAULTHANDLER": "1",  # a crash of native code says where
            **variables,
        }
        self._log = folder / "worker.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; it is ready when it runs something."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as output:
            self.process = spawn(
                list(self.command),
                output=output,
                env=self._environment,
            )

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        return end(self.process, 40)

    def terminate(self) -> None:
        """SIGTERM alone; `ended` waits for what follows."""
        assert self.process is not None
        self.process.terminate()

    async def ended(self, timeout_s: float = 60) -> int:
        """Its exit code, once it has ended of itself."""
        assert self.process is not None
        try:
            return await asyncio.to_thread(self.process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {timeout_s} s\n{self.log}") from None

    async def until_said(self, text: str, timeout_s: float = 60) -> None:
        """Return once its log has this text: it has no other way to tell us."""
        limit = time.monotonic() + timeout_s
        while text not in self.log:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            assert time.monotonic() < limit, f"it never said {text!r}\n{self.log}"
            await asyncio.sleep(0.05)

    @property
    def log(self) -> str:
        """What it said."""
        return self._log.read_text(errors="replace")
