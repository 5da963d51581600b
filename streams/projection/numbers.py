"""How many jobs are in which state, since when the oldest waits, and how fast they end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streams.projection.asking import ask, whole
from streams.projection.states import CODES, DEAD, NAMES
from streams.projection.store import SLOT_MS

_WAITING: Final = (CODES["queued"], CODES["parked"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """So many jobs of a name in a queue are in a state."""

    queue: str
    name: str
    state: str
    number: int


def counts(db: sqlite3.Connection) -> list[Count]:
    """All that are not zero."""
    return [
        Count(queue=queue, name=name, state=NAMES[state], number=number)
        for queue, name, state, number in ask(
            db, "queue, name, state, number", "from counts join kinds using (kind) where number > 0"
        )
    ]


def oldest_waiting(db: sqlite3.Connection) -> dict[str, int]:
    """By queue: since when the oldest job waits that could run (ms since the epoch)."""
    found: dict[str, int] = {}
    for state in _WAITING:
        first = "(select min(at) from jobs where kind = kinds.kind and state = ?) as first"
        for queue, at in whole(db, "queue, first", f"(select queue, {first} from kinds)", (state,)):
            if at is not None:
                found[queue] = min(found.get(queue, at), at)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """So many attempts or jobs ended so, in the stretch of time from `at` on."""

    at: int
    queue: str
    name: str
    state: str
    error: str | None
    number: int


def ended(db: sqlite3.Connection, since: int, *, every_ms: int = SLOT_MS) -> Iterator[Ended]:
    """All since then; a failed attempt counts as `retrying`, one that was the last as `dead`.

    Put together by stretches of `every_ms`, at least `SLOT_MS`: of a whole day there is much else.
    Of attempts that were read when their job was over already, none is in it.
    """
    for at, queue, name, state, error, number in whole(
        db,
        "at, queue, name, state, type, number",
        "(select slot * ? / ? * ? as at, queue, name, state, type, sum(number) as number "
        "from ends join kinds using (kind) left join errors using (error) "
        "where slot >= ? group by at, kind, state, error order by at)",
        (SLOT_MS, every_ms, every_ms, since // SLOT_MS),
    ):
        yield Ended(at=at, queue=queue, name=name, state=NAMES[state], error=error, number=number)


def failures(db: sqlite3.Connection, since: int) -> dict[str, int]:
    """By queue: how many jobs gave up since then."""
    found: dict[str, int] = {}
    for queue, number in ask(
        db,
        "queue, number",
        "from ends join kinds using (kind) where state = ? and slot >= ?",
        (DEAD, since // SLOT_MS),
    ):
        found[queue] = found.get(queue, 0) + number
    return found
