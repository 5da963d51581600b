"""Looks at the rows of sources in order, some at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from streams.projection.asking import whole
from streams.projection.filter import Cursor
from streams.projection.sources import Source

_MERGED_MAX: Final = 400
"""Sources in one question: SQLite merges no more than 500."""


class Search:
    """All rows of some sources, by `at` and then by number."""

    def __init__(
        self, db: sqlite3.Connection, sources: Iterable[Source], *, newest_first: bool
    ) -> None:
        self._db = db
        self._newest_first = newest_first
        self._merged = list(_some(sources))

    @property
    def is_choosy(self) -> bool:
        """Whether there may be rows that do not fit."""
        return any(source.fits is not None for some in self._merged for source in some)

    def look(self, behind: Cursor | None, looks: int) -> tuple[list[Cursor], Cursor | None]:
        """Those that fit of the next rows; and up to where was looked, None if to the end."""
        found: list[Cursor] = []
        ends: list[Cursor] = []
        for some in self._merged:
            rows, end = self._look(some, behind, looks)
            found += rows
            ends += [] if end is None else [end]
        found.sort(reverse=self._newest_first)
        if not ends:
            return found, None
        # Behind the first end there may be others that were not looked at.
        end = max(ends) if self._newest_first else min(ends)
        is_before = end.__le__ if self._newest_first else end.__ge__
        return [each for each in found if is_before(each)], end

    def _look(
        self, some: list[Source], behind: Cursor | None, looks: int
    ) -> tuple[list[Cursor], Cursor | None]:
        texts, values = [], []
        for source in some:
            text, bound = self._question(source, behind)
            texts.append(text)
            values += bound
        direction = "desc" if self._newest_first else "asc"
        merged = f"{' union all '.join(texts)} order by at {direction}, n {direction} limit ?"
        if not any(source.fits for source in some):
            rows = whole(self._db, "at, n", f"({merged})", [*values, looks])
            seen = sorted((self._cursor(*row) for row in rows), reverse=self._newest_first)
            return seen, seen[-1] if len(seen) == looks else None
        # Of those that do not fit only the last one is of interest: it tells where to go on.
        rows = whole(
            self._db,
            "at, n, fits, number",
            f"(select at, n, fits, row_number() over () as number from ({merged})) "
            "where fits or number = ?",
            [*values, looks, looks],
        )
        found = [self._cursor(at, n) for at, n, fits, _ in rows if fits]
        end = next((self._cursor(at, n) for at, n, _, number in rows if number == looks), None)
        return found, end

    def _question(self, source: Source, behind: Cursor | None) -> tuple[str, list[Any]]:
        where, values = source.where
        fits, asked = ("1", ()) if source.fits is None else source.fits
        bound = [*asked, *values]
        if behind is not None:
            where = f"{where} and (at, n) {'<' if self._newest_first else '>'} (?, ?)"
            bound += [behind.at, behind.n]
        return f"select at, n, {fits} as fits from jobs where {where}", bound

    def _cursor(self, at: int, n: int) -> Cursor:
        return Cursor(at, n, self._newest_first)


def _some(sources: Iterable[Source]) -> Iterator[list[Source]]:
    left = iter(sources)
    while some := list(islice(left, _MERGED_MAX)):
        yield some
