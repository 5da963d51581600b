"""How many jobs are in which state, since when the oldest waits, and how fast they end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

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
        for queue, name, state, number in db.execute(
            "select queue, name, state, number from counts join kinds using (kind) where number > 0"
        )
    ]


def oldest_waiting(db: sqlite3.Connection) -> dict[str, int]:
    """By queue: since when the oldest job waits that could run (ms since the epoch)."""
    found: dict[str, int] = {}
    for kind, queue in list(db.execute("select kind, queue from kinds")):
        for state in _WAITING:
            first = db.execute(
                "select at from jobs where kind = ? and state = ? order by at limit 1",
                (kind, state),
            ).fetchone()
            if first is not None:
                found[queue] = min(found.get(queue, first[0]), first[0])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """So many attempts or jobs ended so, in the ten seconds from `at` on."""

    at: int
    queue: str
    name: str
    state: str
    error: str | None
    number: int


def ended(db: sqlite3.Connection, since: int) -> Iterator[Ended]:
    """All since then; a failed attempt counts as `retrying`, one that was the last as `dead`."""
    for slot, queue, name, state, error, number in db.execute(
        "select slot, queue, name, state, type, number from ends join kinds using (kind) "
        "left join errors using (error) where slot >= ? order by slot",
        (since // SLOT_MS,),
    ):
        yield Ended(
            at=slot * SLOT_MS,
            queue=queue,
            name=name,
            state=NAMES[state],
            error=error,
            number=number,
        )


def failures(db: sqlite3.Connection, since: int) -> dict[str, int]:
    """By queue: how many jobs gave up since then."""
    return dict(
        db.execute(
            "select queue, sum(number) from ends join kinds using (kind) "
            "where state = ? and slot >= ? group by queue",
            (DEAD, since // SLOT_MS),
        ).fetchall()
    )
