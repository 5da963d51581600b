"""Sessions that people have ended: kept beside the key, for all consoles of one directory."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import orjson

from streams.errors import SettingsError

logger = logging.getLogger(__name__)

_MOST: Final = 10_000
_NAME: Final = "session.ended"


class EndedSessions:
    """Their ids, each with when it would have ended by itself, in seconds since the epoch.

    The file is replaced whole, under a lock. Who reads it looks first whether it is another one.
    """

    def __init__(self, data_dir: str | None = None) -> None:
        self._path = None if data_dir is None else Path(data_dir) / "console" / _NAME
        self._ended: dict[str, int] = {}
        self._version: tuple[int, int, int] | None = None
        self._has_failed = False
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"STREAMS_DATA_DIR: {self._path} can't be read: {error}. Remove it, and "
                "session.key beside it: then everybody has to sign in again"
            ) from error

    def __contains__(self, id: str) -> bool:
        self._look()
        return id in self._ended

    def add(self, id: str, until: int, now: int) -> None:
        """One more; those that are over by themselves are forgotten."""
        try:
            with self._locked():
                self._read()
                self._put(id, until, now)
                self._write()
        except (OSError, ValueError) as error:
            self._put(id, until, now)
            logger.error(
                "%s can't be written: %s. Who signs out is forgotten when the console starts again",
                self._path,
                error,
            )

    def _put(self, id: str, until: int, now: int) -> None:
        self._ended = {each: its for each, its in self._ended.items() if its > now}
        if len(self._ended) >= _MOST:
            del self._ended[min(self._ended, key=self._ended.__getitem__)]
        self._ended[id] = until

    def _look(self) -> None:
        """Read what another console has written; what can't be read leaves what is known."""
        try:
            self._read()
            self._has_failed = False
        except (OSError, ValueError) as error:
            if not self._has_failed:
                logger.error("%s can't be read: %s; remove it, and session.key", self._path, error)
            self._has_failed = True

    def _read(self) -> None:
        if self._path is None:
            return
        with suppress(FileNotFoundError):
            found = self._path.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            if version != self._version:
                kept = orjson.loads(self._path.read_bytes())
                if not isinstance(kept, dict):
                    raise ValueError("it is no JSON object")
                self._ended |= {str(id): int(until) for id, until in kept.items()}
                self._version = version

    def _write(self) -> None:
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(self._ended))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
