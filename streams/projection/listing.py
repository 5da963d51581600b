"""Pages of jobs: streams of rows that indexes have in order, merged, and looked at for so long."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any, Final

from streams.projection.filter import Cursor, Filter
from streams.projection.row import Row
from streams.projection.states import DEAD, FIRST_OVER
from streams.projection.store import COLUMNS, bare, hash_of, read_row

BUDGET_MS: Final = 60
_LOOK_EVERY: Final = 64  # rows between looks at the time

Floors = Mapping[tuple[str, bool], int]
"""By queue, and whether it failed: what ended before is not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, and where to go on."""

    rows: list[Row]
    cursor: Cursor | None  # None: there are no more
    is_partial: bool = False  # the time was up before the page was full


@dataclass(frozen=True, slots=True)
class Kinds:
    """Numbers and names, as the file has them."""

    names: Mapping[int, tuple[str, str]]  # queue and name of each kind
    errors: Mapping[int, str]

    @classmethod
    def read(cls, db: sqlite3.Connection) -> Kinds:
        """As they are now; there are few."""
        return cls(
            {kind: (queue, name) for kind, queue, name in db.execute("select * from kinds")},
            dict(db.execute("select error, type from errors")),
        )


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
            return self._page(wanted, limit, cursor, newest_first, floors or {}, budget_ms)
        finally:
            self._db.execute("rollback")

    def _page(
        self,
        wanted: Filter,
        limit: int,
        cursor: Cursor | None,
        newest_first: bool,
        floors: Floors,
        budget_ms: float,
    ) -> Page:
        kinds = Kinds.read(self._db)
        streams = list(self._streams(wanted, kinds, cursor, newest_first, floors))
        fits = _fits(wanted, kinds)
        ends = self._clock() + budget_ms / 1000
        found: list[int] = []
        last: tuple[Any, ...] | None = None
        merged = merge(*streams, key=lambda row: (row[0], row[1]), reverse=newest_first)
        for looked, values in enumerate(merged):
            if len(found) == limit:
                break
            last = values
            if fits is None or fits(values):
                found.append(values[1])
            if looked % _LOOK_EVERY == _LOOK_EVERY - 1 and self._clock() > ends:
                return Page(
                    rows=self._rows(found),
                    cursor=Cursor(last[0], last[1], newest_first),
                    is_partial=True,
                )
        else:
            return Page(rows=self._rows(found), cursor=None)
        assert last is not None
        return Page(rows=self._rows(found), cursor=Cursor(last[0], last[1], newest_first))

    def _streams(
        self,
        wanted: Filter,
        kinds: Kinds,
        cursor: Cursor | None,
        newest_first: bool,
        floors: Floors,
    ) -> Iterator[Iterator[tuple[Any, ...]]]:
        of = {
            kind
            for kind, (queue, name) in kinds.names.items()
            if (wanted.queue is None or queue == wanted.queue)
            and (wanted.name is None or name == wanted.name)
        }
        there = [
            (kind, state)
            for kind, state in self._db.execute("select kind, state from counts where number > 0")
            if kind in of and (not wanted.states or state in wanted.states)
        ]
        roots = list(_roots(wanted, kinds))
        if not roots:
            for kind, state in there:
                floor = _floor(floors, kinds, kind, state)
                where = "kind = ? and state = ?"
                yield self._stream(where, (kind, state), wanted, cursor, newest_first, floor)
            return
        for where, values in roots:
            for state in {state for _, state in there}:
                rows = self._stream(
                    f"{where} and state = ?", (*values, state), wanted, cursor, newest_first, None
                )
                yield (row for row in rows if row[2] in of and _is_listed(row, kinds, floors))

    def _stream(
        self,
        where: str,
        values: tuple[Any, ...],
        wanted: Filter,
        cursor: Cursor | None,
        newest_first: bool,
        floor: int | None,
    ) -> Iterator[tuple[Any, ...]]:
        since = max((each for each in (wanted.since, floor) if each is not None), default=None)
        if since is not None:
            where, values = f"{where} and at >= ?", (*values, since)
        if wanted.until is not None:
            where, values = f"{where} and at < ?", (*values, wanted.until)
        if cursor is not None:
            sign = "<" if newest_first else ">"
            where, values = f"{where} and (at, n) {sign} (?, ?)", (*values, cursor.at, cursor.n)
        direction = "desc" if newest_first else "asc"
        by = f" order by at {direction}, n {direction}"
        rest = ", id, key, message, error" if wanted.has_rest else ""
        return self._db.execute(
            f"select at, n, kind, state{rest} from jobs where {where}{by}", values
        )

    def _rows(self, numbers: Sequence[int]) -> list[Row]:
        if not numbers:
            return []
        marks = ",".join("?" * len(numbers))
        rows = {
            row.n: row
            for row in map(
                read_row,
                self._db.execute(
                    f"select {', '.join(COLUMNS)} from jobs where n in ({marks})", list(numbers)
                ),
            )
        }
        return [rows[number] for number in numbers]

    def with_id(self, id: str) -> list[Row]:
        """All jobs with this id, however long ago they ended."""
        return [
            row
            for row in map(
                read_row,
                self._db.execute(
                    f"select {', '.join(COLUMNS)} from jobs where hash = ?", (hash_of(id),)
                ),
            )
            if row.id == id
        ]


def _roots(wanted: Filter, kinds: Kinds) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The indexes that narrow most, with what is sought in them; none: by kind."""
    if wanted.parent is not None:
        yield "parent = ?", (wanted.parent,)
    elif wanted.key is not None:
        key = wanted.key
        for number in {hash_of(key), hash_of(bare(key))}:
            yield (
                "key_hash = ? and (key = ? or substr(key, instr(key, ':') + 1) = ?)",
                (number, key, key),
            )
    elif wanted.error is not None:
        for number, type_ in kinds.errors.items():
            if type_ == wanted.error:
                yield "error = ?", (number,)
        if wanted.error not in kinds.errors.values():
            yield "error = ?", (-1,)


def _floor(floors: Floors, kinds: Kinds, kind: int, state: int) -> int | None:
    if state < FIRST_OVER and state != DEAD:
        return None
    return floors.get((kinds.names[kind][0], state == DEAD))


def _is_listed(row: tuple[Any, ...], kinds: Kinds, floors: Floors) -> bool:
    floor = _floor(floors, kinds, row[2], row[3])
    return floor is None or bool(row[0] >= floor)


def _fits(wanted: Filter, kinds: Kinds) -> Callable[[tuple[Any, ...]], bool] | None:
    """What no index has looked at."""
    if not wanted.has_rest:
        return None
    sought = None if wanted.text is None else wanted.text.casefold()
    key = wanted.key

    def fits(values: tuple[Any, ...]) -> bool:
        id_, own_key, message, error = values[4:]
        if key is not None and (own_key is None or key not in (own_key, bare(own_key))):
            return False
        if wanted.error is not None and kinds.errors.get(error) != wanted.error:
            return False
        return sought is None or any(
            text is not None and sought in text.casefold() for text in (id_, own_key, message)
        )

    return fits
