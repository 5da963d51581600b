"""What the numbers in rows stand for."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from streams.projection.asking import ask


@dataclass(frozen=True, slots=True)
class Kinds:
    """Numbers and names, as the file has them."""

    names: Mapping[int, tuple[str, str]]  # queue and name of each kind
    errors: Mapping[int, str]

    @classmethod
    def of_writer(cls, kinds: Mapping[tuple[str, str], int], errors: Mapping[str, int]) -> Kinds:
        """As whoever writes the file has them, the other way around."""
        return cls(
            {number: kind for kind, number in kinds.items()},
            {number: type_ for type_, number in errors.items()},
        )

    @classmethod
    def read(cls, db: sqlite3.Connection) -> Kinds:
        """As they are now; there are few."""
        return cls(
            {n: (queue, name) for n, queue, name in ask(db, "kind, queue, name", "from kinds")},
            {number: str(type_) for number, type_ in ask(db, "error, type", "from errors")},
        )
