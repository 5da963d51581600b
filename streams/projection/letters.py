"""Dead letters without a job: what came as one and could not be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final, NamedTuple

from streams.errors import UndecodableRecord
from streams.projection.asking import ask
from streams.wire import headers as h
from streams.wire.outline import MESSAGE_KEPT, Readable
from streams.wire.times import LATEST

_SHOWN: Final = ("queue", "error", "message", "topic", "partition", "offset", "at", "n")


class Letter(NamedTuple):
    """A letter that no job has; times in milliseconds since the epoch."""

    queue: str
    error: str
    message: str
    topic: str  # where the record came to
    partition: int
    offset: int
    at: int


class Listed(NamedTuple):
    """A letter in a list."""

    letter: Letter
    n: int  # where the list goes on behind it


def is_of_a_job(record: Readable) -> bool:
    """Whether a record of the dead-letter topic is about a letter that a job has."""
    # Keys of those are JSON, see `letter_key`; the others' say where the record came from.
    return (record.key or b"").startswith(b"[")


def read_letter(record: Readable) -> Letter:
    """The letter that a record of the dead-letter topic is.

    Raises:
        UndecodableRecord: it is none.
    """
    told = {name: value for name, value in record.headers if name.startswith(h.DEAD_PREFIX)}

    def text(name: str) -> str:
        return (told.get(name) or b"").decode(errors="replace")

    def number(name: str) -> int:
        value = int(text(name))
        if not 0 <= value <= LATEST:
            raise ValueError(f"{name} is out of range")
        return value

    try:
        return Letter(
            queue=text(h.DEAD_QUEUE),
            error=text(h.DEAD_ERROR),
            message=text(h.DEAD_MESSAGE)[:MESSAGE_KEPT],
            topic=text(h.DEAD_TOPIC),
            partition=number(h.DEAD_PARTITION),
            offset=number(h.DEAD_OFFSET),
            at=number(h.DEAD_LAST_FAILURE) if told.get(h.DEAD_LAST_FAILURE) else record.timestamp,
        )
    except ValueError as error:
        raise UndecodableRecord(f"not a dead letter: {error}") from error


def keep_letters(db: sqlite3.Connection, letters: Mapping[bytes, Letter | None]) -> None:
    """Put letters into the file; None: it was resolved."""
    db.executemany(
        "delete from letters where key = ?",
        [(key,) for key, letter in letters.items() if letter is None],
    )
    db.executemany(
        "insert or replace into letters (key, queue, error, message, topic, partition, offset, at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        [(key, *letter) for key, letter in letters.items() if letter is not None],
    )


def letter_counts(db: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """Queue, error and number of those letters that nobody has resolved."""
    return [
        (queue, error, number)
        for queue, error, number in ask(
            db,
            "queue, error, number",
            "from (select queue, error, count(*) as number from letters group by queue, error)",
        )
    ]


def listed_letters(
    db: sqlite3.Connection,
    *,
    queue: str | None = None,
    error: str | None = None,
    before: tuple[int, int] | None = None,
    limit: int,
) -> list[Listed]:
    """Those letters, the latest first; `before`: time and number of the last one that was seen."""
    where, values = ["true"], []
    for name, wanted in (("queue", queue), ("error", error)):
        if wanted is not None:
            where.append(f"{name} = ?")
            values.append(wanted)
    bound: list[object] = [*values]
    if before is not None:
        where.append("(at, n) < (?, ?)")
        bound += before
    found = ask(
        db,
        ", ".join(_SHOWN),
        f"from letters where {' and '.join(where)} order by at desc, n desc limit ?",
        (*bound, limit),
    )
    return [Listed(Letter(*row[:-1]), row[-1]) for row in found]
