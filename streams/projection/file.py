"""Which file a projection is in: one for each process, made anew where it can't be gone on with."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streams.errors import SettingsError
from streams.projection.connecting import connect
from streams.projection.schema import VERSION
from streams.projection.store import Store

STALE_MS: Final = 20 * 60 * 60 * 1000
"""Past that tombstones may be gone that it has not read: topics keep them for a day."""
WRITTEN: Final = "written"
"""The note of when it had all that was there."""
_MOST: Final = 100


@contextmanager
def claim(directory: Path) -> Iterator[Path]:
    """A file of one's own in there, locked until the end; the first one that is free.

    Raises:
        SettingsError: the directory can't be written, or nothing is free.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(
            f"STREAMS_DATA_DIR: {directory} can't be made: {error.strerror}"
        ) from error
    for number in range(1, _MOST + 1):
        name = "projection" if number == 1 else f"projection-{number}"
        try:
            lock = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingsError(
                f"STREAMS_DATA_DIR: {directory} can't be written: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        try:
            yield directory / f"{name}.sqlite"
        finally:
            os.close(lock)
        return
    raise SettingsError(f"{_MOST} consoles have a file in {directory} already")


def remove(path: Path) -> None:
    """Remove a projection; nothing is lost that topics do not have."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def open_store(path: Path, source: str, queues: Sequence[str], now: int) -> Store:
    """The store in `path`, for what `source` names: a cluster and a prefix; emptied if need be."""
    if not _goes_on(path, source, queues, now):
        remove(path)
    try:
        return _open(path, source, queues, now)
    except sqlite3.DatabaseError:  # it was no whole one
        remove(path)
        return _open(path, source, queues, now)


def _open(path: Path, source: str, queues: Sequence[str], now: int) -> Store:
    db = connect(path, is_writer=True)
    try:
        path.chmod(0o600)
        store = Store(db)
        store.note("source", source)
        store.note("queues", ",".join(queues))
        if store.noted("identity") is None:
            store.note("identity", secrets.token_hex(8))
            store.note(WRITTEN, str(now))
    except BaseException:
        db.close()
        raise
    return store


def _goes_on(path: Path, source: str, queues: Sequence[str], now: int) -> bool:
    if not path.exists():
        return False
    try:
        db = sqlite3.connect(path)
        try:
            (version,) = db.execute("pragma user_version").fetchone()
            if version != VERSION:
                return False
            noted = dict(db.execute("select name, value from meta"))
            is_fresh = now - int(noted.get(WRITTEN, "0")) < STALE_MS
            # Rows of a queue that is not read any more would stay as they are.
            are_read = {*noted.get("queues", "").split(",")} <= {*queues}
            return noted.get("source") == source and is_fresh and are_read
        finally:
            db.close()
    except (sqlite3.DatabaseError, ValueError):
        return False


def now_ms() -> int:
    """The time, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
