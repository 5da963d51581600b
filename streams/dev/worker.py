"""Starts the supported command for a worker as a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import IO

from streams.dev.children import spawn


def start_worker(
    environment: Mapping[str, str], *, output: IO[bytes] | None = None, quiet: bool = False
) -> subprocess.Popen[bytes]:
    """`faust -A streams.app worker` with these variables on top of ours.

    `quiet` leaves out its introduction.
    """
    return spawn(
        [
            *(sys.executable, "-m", "faust"),
            *(["--quiet"] if quiet else []),
            *("-A", "streams.app", "worker"),
        ],
        env={**os.environ, **environment},
        output=output,
    )
