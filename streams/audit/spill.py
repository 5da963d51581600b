"""Plain values on disk, in slices by identity that each fit into memory."""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self
from zlib import crc32

AT_ONCE: Final = 500  # values of a slice that are written together
MOST: Final = 200  # slices, each of which has a file open


class Spill:
    """Keeps what it is given in files without a name, which go with it."""

    def __init__(self, count: int, folder: Path | None = None) -> None:
        self.count = count
        self._files = [
            tempfile.TemporaryFile(dir=folder, prefix="streams-audit-")  # noqa: SIM115
            for _ in range(count)
        ]
        self._buffers: list[list[tuple[Any, ...]]] = [[] for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def put(self, key: bytes, value: tuple[Any, ...]) -> None:
        """Into the slice of this identity; of plain values alone, none of a class of its own."""
        number = crc32(key) % self.count
        buffer = self._buffers[number]
        buffer.append(value)
        if len(buffer) == AT_ONCE:
            self._write(number)

    def read(self, number: int) -> Iterator[tuple[Any, ...]]:
        """One slice, in the order in which it was put."""
        self._write(number)
        file = self._files[number]
        end = file.tell()
        file.seek(0)
        while file.tell() < end:
            yield from marshal.load(file)  # nobody else has written it
        file.seek(end)

    def _write(self, number: int) -> None:
        if buffer := self._buffers[number]:
            marshal.dump(buffer, self._files[number])
            self._buffers[number] = []
