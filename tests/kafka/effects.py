"""What handlers did, as lines in a file: whatever the engine says, and whoever is killed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Lines = list[list[str]]  # the words of each line, oldest first


def write(line: str) -> None:
    """Add a line to the file that EFFECTS names."""
    # One write(2) on an append-only descriptor: it is there although the process is killed.
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode() + b"\n")
    os.close(file)


def lines(effects: Path) -> Lines:
    """All lines so far."""
    return [line.split() for line in effects.read_text().splitlines()] if effects.exists() else []


async def until(
    effects: Path, enough: Callable[[Lines], bool], log: Callable[[], str], timeout_s: float = 120
) -> Lines:
    """The lines, once they are enough; `log` says what went wrong if that is never."""
    # The file is the signal: the other process has no other way to tell us.
    limit = time.monotonic() + timeout_s
    while not enough(found := lines(effects)):
        assert time.monotonic() < limit, f"only {_tail(found)} after {timeout_s} s\n{log()}"
        await asyncio.sleep(0.05)
    return found


def _tail(found: Sequence[Sequence[str]]) -> str:
    return f"{len(found)} lines, the last of them {[' '.join(line) for line in found[-20:]]}"
