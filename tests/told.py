"""Records about jobs, as clients and workers write them, and projections of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from streams.jobs.identity import JobKey
from streams.jobs.notes import Notes, Progress
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.projection.batch import Batch, Identity, Reader, roles_of
from streams.projection.connecting import connect
from streams.projection.row import COLUMNS, Row
from streams.projection.store import Store
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames

NAMES = TopicNames("t.")
QUEUES = ("default", "bulk")
ROLES = roles_of(NAMES, QUEUES)
NOW = 1_790_000_000_000


class Topics:
    """Partitions that are written, with an offset for each record."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._ends: dict[tuple[str, int], int] = {}

    def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] = (),
        *,
        partition: int = 0,
        at: int = NOW,
    ) -> Record:
        offset = self._ends.get((topic, partition), 0)
        self._ends[topic, partition] = offset + 1
        record = Record(topic, partition, offset, at, key, value, tuple(headers))
        self.records.append(record)
        return record

    def sent(
        self,
        id: str,
        *,
        name: str = "mail",
        key: str | None = None,
        time: int = NOW,
        due: int | None = None,
        parent: str | None = None,
        queue: str = "default",
        partition: int = 0,
    ) -> Record:
        """A job comes into its queue."""
        envelope = Envelope(
            id=id,
            name=name,
            source="test",
            time=time,
            payload=b"{}",
            queue=queue,
            key=key,
            not_before=due,
            parent=parent,
        )
        k, value, headers = encode(envelope)
        return self.put(NAMES.queue(queue), k, value, headers, partition=partition, at=time)

    def entry(
        self,
        id: str,
        state: State | None,
        *,
        name: str = "mail",
        key: str | None = None,
        time: int = NOW,
        at: int = NOW,
        queue: str = "default",
        epoch: int = 1,
        partition: int = 0,
        generation: int = 0,
        run: int = 0,
        attempts: int = 0,
        due: int | None = None,
        failure: tuple[str, str] | None = None,
        reason: str = "",
        died: int | None = None,
        parent: str | None = None,
        progress: tuple[int, int | None] | None = None,
        supposed: bool = False,
    ) -> Record:
        """The open table has it so; no state: not any more."""
        job = JobKey(name=name, ordering_key=key, id=id)
        value = None
        if state is not None:
            _, value = encode_open(
                OpenEntry(
                    job=job,
                    state=state,
                    time=time,
                    generation=generation,
                    run=run,
                    attempts=attempts,
                    arrival=0,
                    due=due,
                    blocks=False,
                    record_key=None,
                    headers=() if parent is None else (("ce_parent", parent.encode()),),
                    payload=b"{}",
                    failure=None
                    if failure is None
                    else Failure(type=failure[0], message=failure[1], trace=""),
                    reason=reason,
                    died=died,
                    is_supposed=supposed,
                    notes=None
                    if progress is None
                    else Notes(progress=Progress(processed=progress[0], total=progress[1])),
                )
            )
        return self.put(
            NAMES.retry(queue), job.encode(), value, _epoch(epoch), partition=partition, at=at
        )

    def over(
        self,
        id: str,
        state: State | None = State.COMPLETED,
        *,
        name: str = "mail",
        key: str | None = None,
        time: int = NOW,
        ended: int = NOW + 10,
        queue: str = "default",
        epoch: int = 1,
        partition: int = 0,
        generation: int = 0,
        run: int = 0,
        attempts: int = 1,
        unique_for_ms: int = 1_000,
        failure: tuple[str, str] | None = None,
        reason: str = "",
    ) -> Record:
        """The ledger has it; no state: not any more."""
        job = JobKey(name=name, ordering_key=key, id=id)
        value = None
        if state is not None:
            _, value = encode_ledger(
                LedgerRecord(
                    job=job,
                    state=state,
                    time=time,
                    generation=generation,
                    run=run,
                    attempts=attempts,
                    ended=ended,
                    unique_for_ms=unique_for_ms,
                    failure=None
                    if failure is None
                    else Failure(type=failure[0], message=failure[1], trace=""),
                    reason=reason,
                )
            )
        return self.put(
            NAMES.ledger(queue), job.encode(), value, _epoch(epoch), partition=partition, at=ended
        )

    def commit(
        self, offset: int, *, queue: str = "default", partition: int = 0, epoch: int = 1
    ) -> Record:
        """The owner of a partition says how far its queue is settled."""
        return self.put(
            NAMES.retry(queue),
            b"#committed",
            str(offset).encode(),
            _epoch(epoch),
            partition=partition,
        )

    def asked(
        self,
        what: str,
        id: str,
        *,
        name: str = "mail",
        key: str | None = None,
        queue: str = "default",
        partition: int = 0,
        due: int = 0,
        at: int = NOW,
    ) -> Record:
        """Somebody asks something of a job."""
        job = JobKey(name=name, ordering_key=key, id=id)
        k, value = encode_command(Command(kind=what, job=job, due=due))
        return self.put(NAMES.commands(queue), k, value, partition=partition, at=at)

    def obeyed(
        self, offset: int, *, queue: str = "default", partition: int = 0, epoch: int = 1
    ) -> Record:
        """The owner of a partition says up to where it has obeyed its commands."""
        return self.put(
            NAMES.retry(queue),
            b"#commands",
            str(offset).encode(),
            _epoch(epoch),
            partition=partition,
        )


class Projection:
    """A projection in memory."""

    def __init__(self) -> None:
        self.db = connect(None, is_writer=True)
        self.store = Store(self.db)
        self._reader = Reader(ROLES, self.store.places())

    def read(self, records: Iterable[Record]) -> list[Row]:
        """Take records, as one batch."""
        batch = Batch()
        self._reader.read(records, batch)
        return self.store.apply(batch)

    def restart(self) -> None:
        """Go on as another process does, with what the file has."""
        self.store = Store(self.db)
        self._reader = Reader(ROLES, self.store.places())

    def sweep(self) -> list[Row]:
        """Note what is over without a record."""
        return self.store.sweep(dict(self.store.commits))

    @property
    def rows(self) -> dict[Identity, Row]:
        """All of them."""
        kinds = {n: (queue, name) for n, queue, name in self.db.execute("select * from kinds")}
        found = self.db.execute(f"select {', '.join(COLUMNS)} from jobs").fetchall()
        return {Identity(*kinds[row.kind], row.key, row.id): row for row in map(Row.of, found)}

    def row(self, id: str) -> Row:
        """The only one with this id."""
        (row,) = (row for row in self.rows.values() if row.id == id)
        return row

    def recount(self) -> dict[tuple[int, int], int]:
        """What `counts` has to say."""
        return {
            (kind, state): number
            for kind, state, number in self.db.execute(
                "select kind, state, count(*) from jobs group by kind, state"
            )
        }

    def counted(self) -> dict[tuple[int, int], int]:
        """What it says."""
        return {
            (kind, state): number
            for kind, state, number in self.db.execute("select * from counts where number != 0")
        }


def shown(row: Row) -> dict[str, Any]:
    """What has to be the same in every projection: not the numbers that one has given."""
    mine = ("n", "kind", "error", "hash", "key_hash")
    return {name: getattr(row, name) for name in COLUMNS if name not in mine}


def dump(db: sqlite3.Connection) -> list[str]:
    """All that is in the file."""
    return list(db.iterdump())


def _epoch(epoch: int) -> list[tuple[str, bytes]]:
    return [("epoch", str(epoch).encode())]
