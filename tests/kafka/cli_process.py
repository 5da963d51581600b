"""The command `streams` in a process of its own, as users run it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

STREAMS = Path(sys.executable).with_name("streams")
PATIENCE_S = 60


class Said(NamedTuple):
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        """Its output, as programs read it."""
        return json.loads(self.output)


class Cli:
    """`streams` with the settings of one test."""

    def __init__(
        self, kafka: str, prefix: str, handlers: str, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._patience_s = patience_s
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "STREAMS_PREFIX": prefix,
            "STREAMS_PARTITIONS": "2",
            "STREAMS_HANDLERS": handlers,
            "PYTHONPATH": str(Path(__file__).parent),
        }
        self._running: asyncio.subprocess.Process | None = None

    async def run(self, *arguments: str, stdin: str = "", **variables: str) -> Said:
        """One command, from start to end; with these environment variables as well."""
        process = await asyncio.create_subprocess_exec(
            str(STREAMS),
            *arguments,
            env={**self._environment, **variables},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._running = process
        output, errors = await asyncio.wait_for(
            process.communicate(stdin.encode()), self._patience_s
        )
        return Said(process.returncode or 0, output.decode(), errors.decode())

    def interrupt(self) -> None:
        """Ctrl-C, for the command that runs."""
        assert self._running is not None
        self._running.send_signal(signal.SIGINT)


async def wait_until_over(cli: Cli, id: str) -> tuple[int, dict[str, Any]]:
    """`jobs wait`, from before the job has arrived in its queue."""
    until = time.monotonic() + PATIENCE_S
    while True:
        said = await cli.run("jobs", "wait", id, "--timeout", "60s", "--json")
        if said.code != 3:
            return said.code, said.json
        assert time.monotonic() < until, said.errors
        await asyncio.sleep(0.2)
