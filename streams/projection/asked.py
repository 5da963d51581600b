"""What was asked of jobs and is not obeyed yet: commands that their worker has not read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from streams.projection.asking import ask
from streams.projection.hashes import hash_of_id
from streams.projection.row import Row
from streams.wire.commands import decode_command
from streams.wire.outline import Readable

_OF_ONE_JOB: Final = frozenset({"cancel", "reschedule", "replay", "discard", "move", "restore"})

Order = tuple[str, int, int]
"""Where a command is: queue, partition and offset."""


class Asked(NamedTuple):
    """A command to a job; times in milliseconds since the epoch."""

    name: str
    key: str | None  # the ordering key with its scope
    id: str
    what: str  # cancel, reschedule, replay, discard, move or restore
    due: int | None  # when it is to start
    at: int  # when it was asked


def read_asked(record: Readable) -> Asked | None:
    """What a record of a command topic asks of one job; None: it asks nothing of just one.

    Raises:
        UndecodableRecord: it is no command.
    """
    command = decode_command(record.key or b"", record.value or b"")
    if command.kind not in _OF_ONE_JOB:
        return None
    job = command.job
    due = command.due if command.kind == "reschedule" else None
    return Asked(job.name, job.ordering_key, job.id, command.kind, due, record.timestamp)


def keep_asked(
    db: sqlite3.Connection,
    asked: Mapping[Order, Asked],
    obeyed: Mapping[tuple[str, int], int],
    news: Mapping[tuple[str, int], int],
) -> None:
    """Put commands into the file that are not obeyed, and remove those that are by now.

    `obeyed`: up to where workers have read them, by queue and partition; `news`: what is new of it.
    """
    db.executemany(
        "insert or replace into asked values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (*order, hash_of_id(each.id), *each)
            for order, each in asked.items()
            if order[2] >= obeyed.get(order[:2], 0)
        ],
    )
    db.executemany(
        "delete from asked where queue = ? and partition = ? and offset < ?",
        [(*place, position) for place, position in news.items()],
    )


def asked_of(db: sqlite3.Connection, rows: Sequence[Row]) -> dict[int, list[Asked]]:
    """By number of their rows: what is asked of them and not obeyed yet, the first first."""
    sought = orjson.dumps([row.hash for row in rows]).decode()
    found: dict[tuple[str, str, str | None, str], list[Asked]] = {}
    for queue, *values in ask(
        db,
        "queue, name, key, id, what, due, at",
        "from asked where hash in (select value from json_each(?)) order by partition, offset",
        (sought,),
    ):
        each = Asked(*values)
        found.setdefault((queue, each.name, each.key, each.id), []).append(each)
    if not found:  # the usual case
        return {}
    kinds = {n: (queue, name) for n, queue, name in ask(db, "kind, queue, name", "from kinds")}
    told = {}
    for row in rows:
        of = found.get((*kinds[row.kind], row.key, row.id))
        if of is not None and row.n is not None:
            told[row.n] = of
    return told
