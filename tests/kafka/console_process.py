"""`streams console` in a process of its own, as users start it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from streams.dev.children import end, spawn

STREAMS = Path(sys.executable).with_name("streams")
_PATIENCE_S = 60
_ADDRESS = re.compile(rb"console on (http://[^\s\x1b]+)")


class ConsoleProcess:
    """A console on a free port of loopback, with the settings of one test."""

    def __init__(
        self, kafka: str, prefix: str, handlers: str, folder: Path, **variables: str
    ) -> None:
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "STREAMS_PREFIX": prefix,
            "STREAMS_HANDLERS": handlers,
            "STREAMS_PARTITIONS": "2",
            "STREAMS_DATA_DIR": str(folder / "console"),
            "PYTHONPATH": str(Path(__file__).parent),
            **variables,
        }
        self._log = folder / "console.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as output:
            self.process = spawn(
                [str(STREAMS), "console", "--port", "0"], output=output, env=self._environment
            )
        self.url = self._address()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        return end(self.process, 20)

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    def _address(self) -> str:
        assert self.process is not None
        ends = time.monotonic() + _PATIENCE_S
        while time.monotonic() < ends:
            if found := _ADDRESS.search(self._log.read_bytes()):
                return found[1].decode()
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"the console did not start: {self.log[-2000:]}")


async def eventually(check, timeout_s: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    """Until `check` (async) says something true."""
    async with asyncio.timeout(timeout_s):
        while not await check():
            await asyncio.sleep(0.05)
