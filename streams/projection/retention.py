"""What is listed, by age and by number; and what is not needed any more at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from streams.durations import to_ms
from streams.listed import Listed, read_listed
from streams.projection.asking import ask
from streams.projection.states import COMPLETED, DEAD, NAMES
from streams.settings import Settings

OVER_CODES: Final = tuple(range(COMPLETED, len(NAMES)))
LISTED_CODES: Final = (*OVER_CODES, DEAD)
"""The outcomes whose jobs are listed for a while only; open jobs always are."""
BY_ID_MS: Final = 60 * 60 * 1000
"""For so long after its end a job can be found by its id, listed or not."""
SERIES_MS: Final = 24 * 60 * 60 * 1000
_SLOT_MS: Final = 10_000
_MERGED_MAX: Final = 400
_OVER: Final = Listed(to_ms("24h"), 1_000)
_FAILED: Final = Listed(to_ms("7d"), 5_000)

Floors = Mapping[tuple[str, int], int]
"""By queue and outcome: what ended before is not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For each outcome of each queue: of jobs that are over, and of those that failed."""

    over: Listed = _OVER
    failed: Listed = _FAILED
    over_of: Mapping[str, Listed] = field(default_factory=dict)  # of queues that have their own
    failed_of: Mapping[str, Listed] = field(default_factory=dict)

    @classmethod
    def of_settings(cls, settings: Settings) -> Retention:
        """What STREAMS_LISTED_COMPLETED and STREAMS_LISTED_FAILED say."""
        over, failed = read_listed(settings.listed_completed), read_listed(settings.listed_failed)
        usual = cls()
        return cls(
            over=over.pop("", usual.over),
            failed=failed.pop("", usual.failed),
            over_of=over,
            failed_of=failed,
        )

    def of(self, queue: str, state: int) -> Listed:
        """What holds for jobs of a queue that ended so."""
        if state == DEAD:
            return self.failed_of.get(queue, self.failed)
        return self.over_of.get(queue, self.over)


def floors(db: sqlite3.Connection, retention: Retention, now: int) -> Floors:
    """What ended before is not listed any more."""
    kinds: dict[tuple[str, int], list[int]] = {}
    numbers: dict[tuple[str, int], int] = {}
    for kind, queue, state, number in db.execute(
        "select kind, queue, state, number from counts join kinds using (kind) where number > 0"
    ):
        if state in LISTED_CODES:
            kinds.setdefault((queue, state), []).append(kind)
            numbers[queue, state] = numbers.get((queue, state), 0) + number
    found = {}
    for (queue, state), of in kinds.items():
        listed = retention.of(queue, state)
        by_age = None if listed.age_ms is None else now - listed.age_ms
        by_number = None
        if listed.number is not None and numbers[queue, state] > listed.number:
            by_number = _nth_newest(db, of, state, listed.number)
        floor = max((each for each in (by_age, by_number) if each is not None), default=None)
        if floor is not None:
            found[queue, state] = floor
    return found


def _nth_newest(db: sqlite3.Connection, kinds: Iterable[int], state: int, number: int) -> int:
    """When the last one ended that is listed."""
    sources = [
        f"select at from jobs where kind = {kind} and state = {state} order by at desc "
        f"limit {number}"
        for kind in kinds
    ]
    while len(sources) > 1:  # SQLite merges no more than 500 at a time
        sources = [
            " union all ".join(f"select * from ({each})" for each in some)
            + f" order by at desc limit {number}"
            for some in _some(sources, _MERGED_MAX)
        ]
    (at,) = db.execute(f"select at from ({sources[0]}) limit 1 offset {number - 1}").fetchone()
    return int(at)


def _some(sources: list[str], size: int) -> Iterator[list[str]]:
    """Some at a time."""
    return (sources[at : at + size] for at in range(0, len(sources), size))


def forget(
    db: sqlite3.Connection, floors: Floors, now: int, queues: Iterable[str], *, limit: int
) -> int:
    """Delete some jobs that are over, not listed, and not asked for by id; how many it were.

    Only of `queues`, whose topics were read once: what is read of a job later would look new.
    """
    of = set(queues)
    removed = 0
    for kind, queue, state in ask(
        db, "kind, queue, state", "from counts join kinds using (kind) where number > 0"
    ):
        floor = floors.get((queue, state))
        if floor is None or queue not in of or state not in OVER_CODES or removed >= limit:
            continue
        gone = db.execute(
            "delete from jobs where n in "
            "(select n from jobs where kind = ? and state = ? and at < ? order by at limit ?)",
            (kind, state, min(floor, now - BY_ID_MS), limit - removed),
        ).rowcount
        if gone:
            db.execute(
                "update counts set number = number - ? where kind = ? and state = ?",
                (gone, kind, state),
            )
            removed += gone
    db.execute("delete from ends where slot < ?", ((now - SERIES_MS) // _SLOT_MS,))
    return removed
