"""What handlers did, as fixed records in a file: a million of them are read in seconds.

As `effects`, but for jobs that are too many for lines of text.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_MARK = struct.Struct("<4sqqqqd")
_file: list[int] = []


class Mark(NamedTuple):
    """One thing that a handler did."""

    job: str  # the first four letters of its name
    key: int
    n: int
    attempt: int
    pid: int
    at: float  # by the wall clock


def mark(job: str, key: int, n: int, attempt: int) -> None:
    """Add a record, that an attempt begins, to the file that MARKS names."""
    if not _file:
        _file.append(os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    # One write(2) on an append-only descriptor: it is there although the process is killed.
    os.write(_file[0], _MARK.pack(job.encode()[:4], key, n, attempt, os.getpid(), time.time()))


class Marks:
    """Reads the file once, from its beginning on, and hands each record to `take`."""

    def __init__(self, path: Path, take: Callable[[Mark], None]) -> None:
        self.path = path
        self.count = 0
        self._take = take

    def read(self) -> None:
        """Take what is new."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.count * _MARK.size)
            while chunk := file.read(_MARK.size * 10_000):
                whole = len(chunk) // _MARK.size
                for job, *rest in _MARK.iter_unpack(chunk[: whole * _MARK.size]):
                    self._take(Mark(job.decode(), *rest))
                self.count += whole
                if len(chunk) % _MARK.size:
                    return  # the rest of it is being written

    async def until(
        self, enough: Callable[[], bool], log: Callable[[], str], timeout_s: float = 120
    ) -> None:
        """Return once what was taken is enough; it is looked at after each reading."""
        # The file is the signal: the other process has no other way to tell us.
        limit = time.monotonic() + timeout_s
        while True:
            self.read()
            if enough():
                return
            assert time.monotonic() < limit, f"{self.count} marks after {timeout_s} s\n{log()}"
            await asyncio.sleep(0.05)
