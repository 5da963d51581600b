"""Pages of jobs: what indexes have in order, merged, and looked at for so long and no longer."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streams.projection.asking import ask
from streams.projection.filter import Cursor, Filter
from streams.projection.hashes import hash_of_id
from streams.projection.job_rows import numbered, rows_with
from streams.projection.kinds import Kinds
from streams.projection.retention import Floors
from streams.projection.row import Row
from streams.projection.search import Search
from streams.projection.sources import sources

BUDGET_MS: Final = 40
_LOOKS_MIN: Final = 500  # rows that are looked at in one step
_LOOKS_FIRST: Final = 1_000
_LOOKS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, and where to go on."""

    rows: list[Row]
    cursor: Cursor | None  # None: there are no more
    is_partial: bool = False  # the time was up before the page was full


class Listing:
    """Asks a connection; use it in one thread at a time."""

    def __init__(
        self, db: sqlite3.Connection, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._clock = clock

    def page(
        self,
        wanted: Filter,
        *,
        limit: int,
        cursor: Cursor | None = None,
        newest_first: bool = True,
        floors: Floors | None = None,
        budget_ms: float = BUDGET_MS,
    ) -> Page:
        """At most `limit` rows that are as wanted, behind `cursor`."""
        if cursor is not None:
            newest_first = cursor.newest_first
        self._db.execute("begin")  # one moment for all of it
        try:
            kinds = Kinds.read(self._db)
            search = Search(
                self._db, sources(self._db, wanted, kinds, floors or {}), newest_first=newest_first
            )
            found, behind, is_partial = self._look(search, limit, cursor, budget_ms / 1000)
            rows = numbered(self._db, found)
        finally:
            self._db.execute("rollback")
        return Page(rows=rows, cursor=behind, is_partial=is_partial)

    def count(self, wanted: Filter, *, budget_ms: float) -> tuple[int, bool]:
        """How many rows are as wanted, and whether these are all: it looks for so long at most."""
        self._db.execute("begin")  # one moment for all of it
        try:
            kinds = Kinds.read(self._db)
            if wanted == Filter(states=wanted.states, queue=wanted.queue, name=wanted.name):
                return self._counted(wanted, kinds), True
            search = Search(self._db, sources(self._db, wanted, kinds, {}), newest_first=True)
            began, number, cursor = self._clock(), 0, None
            while True:
                fitting, cursor = search.look(cursor, _LOOKS_MAX)
                number += len(fitting)
                if cursor is None or self._clock() - began >= budget_ms / 1000:
                    return number, cursor is None
        finally:
            self._db.execute("rollback")

    def _counted(self, wanted: Filter, kinds: Kinds) -> int:
        """What the file has counted already."""
        return sum(
            number
            for kind, state, number in ask(self._db, "kind, state, number", "from counts")
            if (not wanted.states or state in wanted.states)
            and (wanted.queue is None or kinds.names[kind][0] == wanted.queue)
            and (wanted.name is None or kinds.names[kind][1] == wanted.name)
        )

    def _look(
        self, search: Search, limit: int, cursor: Cursor | None, budget_s: float
    ) -> tuple[list[int], Cursor | None, bool]:
        """Numbers of rows, where to go on behind them, and whether the time was up."""
        began = now = self._clock()
        found: list[Cursor] = []
        looks = _LOOKS_FIRST if search.is_choosy else limit + 1
        while True:
            fitting, cursor = search.look(cursor, looks)
            found += fitting
            if len(found) > limit or (len(found) == limit and cursor is not None):
                return [each.n for each in found[:limit]], found[limit - 1], False
            before, now = now, self._clock()
            is_over = now - began >= budget_s
            if cursor is None or is_over:
                return [each.n for each in found], cursor, cursor is not None
            left_s = (budget_s - (now - began)) / 3
            paced = looks * left_s / max(now - before, 1e-6)
            looks = int(min(max(paced, _LOOKS_MIN), _LOOKS_MAX))

    def with_id(self, id: str) -> list[Row]:
        """All jobs with this id, however long ago they ended."""
        return [row for row in rows_with(self._db, [hash_of_id(id)]) if row.id == id]


__all__ = ["BUDGET_MS", "Floors", "Kinds", "Listing", "Page"]
