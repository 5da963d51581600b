"""One job of the file: its row, with what the row's numbers stand for there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection

from streams.jobs.identity import JobKey
from streams.projection.asked import Asked, asked_of
from streams.projection.batch import Identity
from streams.projection.kinds import Kinds
from streams.projection.listing import Listing
from streams.projection.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Can be kept for longer than the file: in another one numbers stand for something else."""

    row: Row
    queue: str
    name: str
    error: str | None  # the type of its last error
    asked: Sequence[Asked] = ()  # what its worker has not obeyed yet, if that was looked for

    @classmethod
    def of(cls, row: Row, kinds: Kinds) -> Job:
        """The job of a row; `kinds` are of the file that it is from."""
        queue, name = kinds.names[row.kind]
        error = None if row.error is None else kinds.errors.get(row.error)
        return cls(row=row, queue=queue, name=name, error=error)

    @property
    def id(self) -> str:
        """Its id, which other jobs may have as well."""
        return self.row.id

    @property
    def identity(self) -> Identity:
        """By this it is known again, whatever file tells of it."""
        return Identity(self.queue, self.name, self.row.key, self.row.id)

    @property
    def key(self) -> JobKey:
        """As its queue knows it."""
        return JobKey(name=self.name, ordering_key=self.row.key, id=self.row.id)


def jobs_with_id(db: Connection, id: str) -> Sequence[Job]:
    """All jobs with this id, however long ago they ended."""
    return jobs_of(db, Listing(db).with_id(id))


def jobs_of(db: Connection, rows: Sequence[Row]) -> Sequence[Job]:
    """The jobs of rows that were read just now, with what is asked of them."""
    kinds = Kinds.read(db)  # after the rows: there are more of them at most
    asked = asked_of(db, rows)
    return [replace(Job.of(row, kinds), asked=asked.get(row.n or 0, ())) for row in rows]
