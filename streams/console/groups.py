"""Dead jobs by what they died of, counted in the projection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sqlite3 import Connection

from streams.projection.states import DEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Deaths:
    """Dead jobs of one error type; times in milliseconds since the epoch."""

    error: str | None  # None: it is not known
    count: int
    first: int
    last: int
    message: str | None  # of the latest
    names: Mapping[str, int]  # by name, of the latest thousand


def deaths(db: Connection, queue: str | None = None, name: str | None = None) -> list[Deaths]:
    """The most frequent first."""
    kinds = {
        kind: (of, its)
        for kind, of, its in db.execute("select kind, queue, name from kinds")
        if (queue is None or of == queue) and (name is None or its == name)
    }
    is_all = queue is None and name is None
    found = []
    for error, type_ in list(db.execute("select error, type from errors")):
        if is_all:
            row = db.execute(
                "select count(*), min(at), max(at) from jobs indexed by jobs_error "
                "where error = ? and state = ?",
                (error, DEAD),
            ).fetchone()
        else:
            marks = ",".join("?" * len(kinds))
            row = db.execute(
                "select count(*), min(at), max(at) from jobs indexed by jobs_error "
                f"where error = ? and state = ? and kind in ({marks})",
                (error, DEAD, *kinds),
            ).fetchone()
        count, first, last = row
        if not count:
            continue
        names: dict[str, int] = {}
        message = None
        for kind, said in db.execute(
            "select kind, message from jobs indexed by jobs_error "
            "where error = ? and state = ? order by at desc limit 1000",
            (error, DEAD),
        ):
            if kind in kinds:
                message = message or said
                its = kinds[kind][1]
                names[its] = names.get(its, 0) + 1
        found.append(
            Deaths(error=type_, count=count, first=first, last=last, message=message, names=names)
        )
    return sorted(found, key=lambda each: -each.count)
