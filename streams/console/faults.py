"""What goes wrong with the file of the projection: said once; made anew if it is torn."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from sqlite3 import DatabaseError, OperationalError
from typing import Final

logger = logging.getLogger(__name__)

_TORN: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_torn(error: DatabaseError) -> bool:
    """Whether the file is not what it was written as."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _TORN  # what is above is its detail


def is_of_file(error: DatabaseError) -> bool:
    """Whether the file is at fault, or the disk; else it is a mistake in the question."""
    return isinstance(error, OperationalError) or is_torn(error)


class Faults:
    """Those of one console; `spoil` is told the life of the file that is to end."""

    def __init__(self, spoil: Callable[[int], None]) -> None:
        self._spoil = spoil
        self._told: tuple[int, str] | None = None

    def take(self, error: DatabaseError, generation: int) -> None:
        """Say what was met, unless it was the last that was said."""
        if is_torn(error):
            self._spoil(generation)
        told = (generation, str(error))
        if told != self._told:
            self._told = told
            remedy = "it is made anew" if is_torn(error) else "trying again with each question"
            logger.error("the projection can't be read: %s; %s", error, remedy)

    def over(self) -> None:
        """It is answered again: what goes wrong next is said."""
        if self._told is not None:
            self._told = None
