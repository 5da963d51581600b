"""Starts the console as a child process, where what it needs is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import IO, Final

from streams.dev.children import spawn
from streams.dev.ports import free_port, is_free

PORT: Final = 8001


def may_start() -> bool:
    """Whether what the console needs is installed."""
    return all(find_spec(name) is not None for name in ("fastapi", "uvicorn", "jinja2"))


def console_port(wanted: int = PORT) -> int:
    """The port that is wanted if nobody has it, else a free one."""
    return wanted if wanted and is_free(wanted) else free_port()


def start_console(
    environment: Mapping[str, str], port: int, *, output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """`streams console` on loopback, with these variables on top of ours."""
    return spawn(
        [sys.executable, "-m", "streams", "console", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **environment},
        output=output,
    )
