"""The file of one projection, through all its lives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streams.errors import StreamsError
from streams.projection.file import now_ms, open_store, remove
from streams.projection.store import Store


class Outdated(StreamsError):
    """The file of a projection, or what it is of, was replaced while it was in use."""


class OwnFile:
    """Opens it, and notices when it is another one; all in one thread."""

    def __init__(self, path: Path, queues: Sequence[str]) -> None:
        self.path = path
        self.generation = 0  # rises when it is another one
        self._queues = queues
        self._inode = 0
        self._identity: str | None = None  # another one may have its place on the disk
        self._is_spoilt = False

    def spoil(self) -> None:
        """It can't be used: the next time it is made anew."""
        self._is_spoilt = True

    def open(self, source: str) -> tuple[Store, bool]:
        """A store in it, and whether it is another one than before."""
        if self._is_spoilt:
            remove(self.path)
            self._is_spoilt = False
        store = open_store(self.path, source, self._queues, now_ms())
        self._inode = self.path.stat().st_ino
        identity = store.noted("identity")
        is_another = identity != self._identity
        if is_another:
            self._identity = identity
            self.generation += 1
        return store, is_another

    def check(self) -> None:
        """See to it that it is still there, and whole as far as is known.

        Raises:
            Outdated: it is not.
        """
        if self._is_spoilt:
            raise Outdated(f"{self.path} is torn: it is made anew")
        try:
            is_there = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise Outdated(f"{self.path} was removed: it is made anew")
