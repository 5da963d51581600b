"""Entries, attempts and an owned partition for tests of the worker's parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streams import JobPayload, job
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Outcome
from streams.jobs.registry import Registry
from streams.jobs.states import State
from streams.testing.memory import MemoryStore
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.state import LedgerRecord, OpenEntry
from streams.worker.admission import attempt_of
from streams.worker.attempt import Attempt
from streams.worker.callbacks import Callbacks
from streams.worker.ending import Ending
from streams.worker.hand import Hand
from streams.worker.openings import Openings
from streams.worker.outcomes import Outcomes
from streams.worker.owned import Owned
from streams.worker.purge import Purges
from streams.worker.settlement import Place, Settlement
from streams.worker.suspects import Suspects, Suspicion
from streams.worker.tables import Tables
from streams.worker.watermark import Watermark

NOW = 1_700_000_000_000

PLACE = Place(
    queue="default",
    partition=0,
    topic="jobs.default",
    retry="jobs.default.retry",
    ledger="jobs.default.ledger",
    dead="jobs.dead",
    commands="jobs.default.commands",
    worker="w1",
)


class StubExecutor:
    """Keeps what it is given; a test says when it ends."""

    def __init__(self) -> None:
        self.submitted: list[Attempt] = []
        self.cancelled: list[Attempt] = []
        self.abandoned: list[Attempt] = []

    def submit(
        self,
        attempt: Attempt,
        done: Callable[[Attempt, Outcome], None],
        hears: object = None,
    ) -> None:
        self.submitted.append(attempt)

    def joins(self, running: Attempt, follower: Attempt) -> bool:
        return False

    def cancel(self, attempt: Attempt, reason: str) -> None:
        self.cancelled.append(attempt)

    def abandon(self, attempt: Attempt) -> None:
        self.abandoned.append(attempt)

    def hold(self, *args: object) -> None:
        """Nothing holds anything."""

    def brought(self, *args: object, **kwargs: object) -> None: ...

    def enter(self, *args: object) -> None: ...

    def leave(self, attempt: Attempt) -> None: ...

    def withdraw(self, holder: object) -> None: ...


def definition_of(handler: Any) -> JobDefinition:
    """What `@job` made of a handler."""
    definition = handler.__job_definition__
    assert isinstance(definition, JobDefinition)
    return definition


class Step(JobPayload, name="step", key="account"):
    account: int


@job
async def step(payload: Step) -> None:
    """A job that does nothing."""


STEP = definition_of(step)


def record_of(envelope: Envelope, offset: int = 0) -> Record:
    key, value, headers = encode(envelope)
    return Record(PLACE.topic, 0, offset, envelope.time, key, value, tuple(headers))


def envelope_of(name: str, id: str, key: str | None = None, time: int = NOW) -> Envelope:
    return Envelope(id=id, name=name, source="test", time=time, payload=b"{}", key=key)


def attempt(
    definition: JobDefinition, id: str, key: str | None, offset: int = 0, *, opened: bool = False
) -> Attempt:
    """An attempt as it comes from the queue, or from the open table."""
    envelope = envelope_of(definition.name, id, key)
    record = record_of(envelope, offset)
    lane = record.key if key is not None else None
    job = JobKey(name=definition.name, ordering_key=key, id=id)
    entry = replace(entry_of(job), arrival=offset) if opened else None
    return attempt_of(job, record, envelope, definition, lane=lane, entry=entry)


def entry_of(job: JobKey, **changes: Any) -> OpenEntry:
    """An entry of a job that waits for its retry, with changes."""
    envelope = envelope_of(job.name, job.id, job.ordering_key)
    record = record_of(envelope)
    entry = OpenEntry(
        job=job,
        state=State.RETRYING,
        time=NOW,
        generation=0,
        run=1,
        attempts=1,
        arrival=0,
        due=NOW,
        blocks=job.ordering_key is not None,
        record_key=record.key,
        headers=record.headers,
        payload=b"{}",
        origin=(record.topic, record.partition, record.offset),
    )
    return replace(entry, **changes)


def ledger_of(job: JobKey, **changes: Any) -> LedgerRecord:
    """What became of a job that completed in its second run, with changes."""
    record = LedgerRecord(
        job=job,
        state=State.COMPLETED,
        time=NOW,
        generation=0,
        run=1,
        attempts=2,
        ended=NOW,
    )
    return replace(record, **changes)


def owned_by_us(
    *handlers: Any, start: int = 0, tables: Tables | None = None
) -> tuple[Owned, StubExecutor]:
    """A partition that this worker owns, with nothing in it."""
    executor = StubExecutor()
    definitions = [definition_of(handler) for handler in handlers]
    owned = Owned(
        place=PLACE,
        registry=Registry.build(definitions, ("default",)),
        tables=tables or Tables(MemoryStore()),
        watermark=Watermark(start),
        hand=Hand(executor, lambda attempt, outcome: None),
        suspicion=Suspicion(is_due=False, opened_at=NOW, queue_end=0, suspects=Suspects()),
    )
    return owned, executor


def openings_of(owned: Owned) -> Openings:
    """What starts from its open table, while nothing is purged."""
    return Openings(owned, Callbacks(owned), Purges(owned, Outcomes(owned), Ending(owned.hand)))


def write(owned: Owned, settlement: Settlement) -> None:
    """Put a turn's decisions into the tables, as once they are in their topics."""
    batch = owned.tables.batch()
    for entry in settlement.opens.values():
        batch.put_open(entry)
    for record in settlement.ledgers.values():
        batch.put_ledger(record)
    for state_key in settlement.closes:
        batch.drop_open(state_key)
    if settlement.commands_read is not None:
        batch.reflect(owned.place.commands, settlement.commands_read)
    batch.write()
