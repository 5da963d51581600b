"""What runs, marked in a file that outlives the process in which it runs: whatever ends that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

_SIZE: Final = 4_096  # bytes of a mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What the marks say."""

    code: int | None  # with which it ended in its order; None: it did not
    jobs: int  # that were over
    different: int  # of these
    running: list[dict[str, Any]]


class Marks:
    """Written before and after each job; a write is one system call, and the kernel keeps it."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        self._free: list[int] = []
        self._used = 1  # the first one is the summary

    @contextmanager
    def running(self, job: dict[str, Any]) -> Iterator[None]:
        """Mark a job while it runs."""
        if self._free:
            place = self._free.pop()
        else:
            place, self._used = self._used, self._used + 1
        self._write(place, job)
        try:
            yield
        finally:
            self._write(place, None)
            self._free.append(place)

    def count(self, jobs: int, different: int, code: int | None = None) -> None:
        """So many are over; `code`: and all of it."""
        self._write(0, {"jobs": jobs, "different": different, "code": code})

    def _write(self, place: int, value: Any) -> None:
        said = orjson.dumps(value)
        if len(said) > _SIZE:
            said = b'{"id":"(it is too long to be told)"}'
        os.pwrite(self._file, said.ljust(_SIZE), place * _SIZE)


def read_marks(file: Path) -> Marked:
    """What was marked last."""
    said = file.read_bytes() if file.exists() else b""
    parts = [said[at : at + _SIZE].strip(b" \0") for at in range(0, len(said), _SIZE)]
    summary, *jobs = [orjson.loads(part) if part else None for part in parts] or [None]
    told = summary or {"jobs": 0, "different": 0, "code": None}
    return Marked(
        code=told["code"],
        jobs=told["jobs"],
        different=told["different"],
        running=[job for job in jobs if job is not None],
    )
