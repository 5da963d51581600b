"""A connection to the file: one that writes, and any number that read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

_CACHE_KIB: Final = 48 * 1024
_READER_CACHE_KIB: Final = 8 * 1024
_CHECKPOINT_PAGES: Final = 4_000


def connect(path: Path | None, *, is_writer: bool = False) -> sqlite3.Connection:
    """The file of a projection, which only a writer makes; None: in memory.

    Raises:
        sqlite3.Error: there is none, or it can't be opened.
    """
    if path is None:
        where = ":memory:"
    else:
        where = f"{path.absolute().as_uri()}?mode={'rwc' if is_writer else 'rw'}"
    db = sqlite3.connect(where, isolation_level=None, check_same_thread=False, timeout=10, uri=True)
    db.create_function("fold", 1, _fold, deterministic=True)
    db.execute(f"pragma cache_size = -{_CACHE_KIB if is_writer else _READER_CACHE_KIB}")
    db.execute("pragma temp_store = memory")
    if is_writer:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")  # what is lost is read again, but all or nothing
        db.execute(f"pragma wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    else:
        db.execute("pragma query_only = on")
    return db


def _fold(text: str | None) -> str | None:
    """Without the difference of upper and lower case, whatever alphabet it is of."""
    return None if text is None else text.casefold()
