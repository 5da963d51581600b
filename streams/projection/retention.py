"""What is listed, by age and by number; and what is not needed any more at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Final

from streams.projection.states import COMPLETED, DEAD, NAMES

OVER_CODES: Final = tuple(range(COMPLETED, len(NAMES)))
BY_ID_MS: Final = 60 * 60 * 1000
"""For so long after its end a job can be found by its id, listed or not."""
SERIES_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Up to which age (milliseconds) and number jobs are listed, for each queue."""

    age_ms: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For jobs that are over, and for those that failed."""

    over: Listed = Listed(age_ms=24 * 60 * 60 * 1000, number=1_000)
    failed: Listed = Listed(age_ms=7 * 24 * 60 * 60 * 1000, number=5_000)


def floors(db: sqlite3.Connection, retention: Retention, now: int) -> dict[tuple[str, bool], int]:
    """By queue, and whether it failed: what ended before is not listed any more."""
    kinds: dict[str, list[int]] = {}
    for kind, queue in db.execute("select kind, queue from kinds"):
        kinds.setdefault(queue, []).append(kind)
    found = {}
    for queue, of in kinds.items():
        for is_failed, states, listed in (
            (False, OVER_CODES, retention.over),
            (True, (DEAD,), retention.failed),
        ):
            newest = _newest(db, of, states)
            last = next(islice(newest, listed.number - 1, None), None)
            floor = now - listed.age_ms
            found[queue, is_failed] = floor if last is None else max(floor, last)
    return found


def _newest(db: sqlite3.Connection, kinds: Iterable[int], states: Iterable[int]) -> Iterable[int]:
    """When they ended, the latest first."""
    streams = [
        db.execute(
            "select at from jobs where kind = ? and state = ? order by at desc", (kind, state)
        )
        for kind in kinds
        for state in states
    ]
    return (at for (at,) in merge(*streams, reverse=True))


def forget(
    db: sqlite3.Connection, floors: dict[tuple[str, bool], int], now: int, *, limit: int = 2_000
) -> int:
    """Delete some jobs that are over, not listed, and not asked for by id; how many it were."""
    removed = 0
    for kind, queue in list(db.execute("select kind, queue from kinds")):
        before = min(floors.get((queue, False), 0), now - BY_ID_MS)
        for state in OVER_CODES:
            gone = db.execute(
                "delete from jobs where n in "
                "(select n from jobs where kind = ? and state = ? and at < ? order by at limit ?)",
                (kind, state, before, limit - removed),
            ).rowcount
            if gone:
                db.execute(
                    "update counts set number = number - ? where kind = ? and state = ?",
                    (gone, kind, state),
                )
                removed += gone
            if removed >= limit:
                return removed
    return removed
