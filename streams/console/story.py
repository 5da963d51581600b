"""One job whole: its row, its latest record of state, and the record that it came with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Final

import orjson
from pydantic import BaseModel

from streams.client_story import Story
from streams.console import views
from streams.console.console import Console
from streams.errors import UndecodableRecord
from streams.projection.filter import Filter
from streams.projection.job import Job, jobs_of, jobs_with_id
from streams.projection.listing import Listing
from streams.projection.row import LEDGER, NOWHERE, RETRY, Row
from streams.projection.states import COMPLETED, DEAD, FIRST_OVER
from streams.redaction import redacted
from streams.sensitive import masked, secrets_in
from streams.story.finding import Found
from streams.wire.envelope import Envelope, decode
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger, decode_open
from streams.wire.times import show_time

_TRIES: Final = 4
_CHILDREN: Final = 20
SHOWN_MAX: Final = 256 * 1024
"""Bytes of a payload or a result; a larger one is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A job as the projection and its records tell it."""

    job: Job
    found: Found
    children: tuple[Job, ...] = ()
    has_more_children: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come: dead ones are over until somebody replays them."""
        return is_over(self.job)

    @property
    def row(self) -> Row:
        """Its row."""
        return self.job.row


def is_over(job: Job) -> bool:
    """Whether a job waits for nothing any more but for people."""
    return job.row.state >= FIRST_OVER or job.row.state == DEAD


async def tell(console: Console, job: Job) -> Told:
    """All that there is about one job.

    Raises:
        BrokerUnavailable: Kafka did not answer in time.
    """
    for _ in range(_TRIES):
        story = await read_story(console, job)
        latest = await again(console, job)
        if story is not None or latest is None or latest.row.seen_offset == job.row.seen_offset:
            break
        job = latest  # what it was is compacted away: it went on
    found = Found(
        queue=job.queue,
        job=job.key,
        partition=job.row.partition,
        sent=await _sent(console, job),
        story=story or Story(),
    )
    return await _with_children(console, job, found)


async def tell_without_records(console: Console, job: Job) -> Told:
    """What the projection alone knows of a job: while Kafka is away that is all there is."""
    place = job.row.partition
    found = Found(queue=job.queue, job=job.key, partition=place, sent=None, story=Story())
    return await _with_children(console, job, found)


async def _with_children(console: Console, job: Job, found: Found) -> Told:
    children = await console.ask(lambda db: _children(db, job.id))
    return Told(
        job=job,
        found=found,
        children=tuple(children[:_CHILDREN]),
        has_more_children=len(children) > _CHILDREN,
    )


def _children(db: Connection, id: str) -> Sequence[Job]:
    """The latest children."""
    return jobs_of(db, Listing(db).page(Filter(parent=id), limit=_CHILDREN + 1).rows)


async def again(console: Console, job: Job) -> Job | None:
    """The job as it is now; None if it is forgotten."""
    jobs = await console.ask(lambda db: jobs_with_id(db, job.id))
    return next((each for each in jobs if each.identity == job.identity), None)


async def read_story(console: Console, job: Job) -> Story | None:
    """Its latest record of state; None if it is not there any more."""
    row, names = job.row, console.names
    if row.seen_in == NOWHERE:
        return Story()
    topic = names.retry(job.queue) if row.seen_in == RETRY else names.ledger(job.queue)
    record = await console.records.get(topic, row.partition, row.seen_offset)
    if record is None or record.value is None:
        return None
    key = record.key or b""
    if key != job.key.encode():
        return None  # another job's: its place is not what it was
    try:
        if row.seen_in == LEDGER:
            return Story(ledger=decode_ledger(key, record.value))
        return Story(entry=decode_open(key, record.value))
    except UndecodableRecord:
        return Story()


async def _sent(console: Console, job: Job) -> Envelope | None:
    """As it was enqueued, if its queue still has it."""
    row = job.row
    if row.sent_offset < 0:
        return None
    record = await console.records.get(
        console.names.queue(job.queue), row.partition, row.sent_offset
    )
    try:
        sent = None if record is None else decode(record)
    except UndecodableRecord:
        return None
    return sent if sent is not None and sent.id == row.id else None


def contract_of(console: Console, name: str) -> type[BaseModel] | None:
    """What a job of this name takes, if that is known here."""
    definition = console.registry.by_name(name)
    return None if definition is None else definition.payload_type


def shown(told: Told, contract: type[BaseModel] | None) -> dict[str, Any]:
    """The whole of it as JSON values, without what is sensitive."""
    row, story = told.row, told.found.story
    data = views.job(told.job)
    latest: OpenEntry | LedgerRecord | None = story.entry or story.ledger
    raw = _payload(told)
    payload = None if raw is None else views.parsed(raw)
    secrets = secrets_of(told, contract)
    data["partition"] = row.partition
    data["run"] = row.run
    if raw is not None:
        data["payload"] = masked(contract, payload) if len(raw) <= SHOWN_MAX else None
        data["payloadSize"] = len(raw)
        data["payloadIsMasked"] = "by its contract" if contract is not None else "by names"
    if told.found.sent is not None:
        data["source"] = told.found.sent.source
        data["metadata"] = masked(None, dict(told.found.sent.extensions))
    data["history"] = [] if latest is None else [_attempt(each, secrets) for each in latest.history]
    notes = None if latest is None else latest.notes
    if notes is not None and notes.progress is not None:
        data["progress"] = views.progress(notes.progress.processed, notes.progress.total)
    data["log"] = [
        {
            "at": show_time(line.at),
            "attempt": line.attempt,
            "level": line.level,
            "text": redacted(line.text, secrets),
        }
        for line in (() if notes is None else notes.log)
    ]
    if latest is not None and latest.reason:
        data["reason"] = redacted(latest.reason, secrets)
    if "message" in data:
        data["message"] = redacted(data["message"], secrets)
    if row.state == COMPLETED and story.ledger is not None:
        data |= _result(story.ledger)
    elif row.state == DEAD or row.state > COMPLETED:
        data["failedReason"] = redacted(told.found.status.error or "no reason was given", secrets)
    if latest is not None and latest.failure is not None and row.state != COMPLETED:
        data["failure"] = {
            "type": latest.failure.type,
            "message": redacted(latest.failure.message, secrets),
            "trace": redacted(latest.failure.trace, secrets),
        }
    data["children"] = [views.job(child) for child in told.children]
    data["hasMoreChildren"] = told.has_more_children
    return data


def secrets_of(told: Told, contract: type[BaseModel] | None) -> frozenset[str]:
    """What is sensitive in a job's payload: texts that may have got into its messages."""
    raw = _payload(told)
    return frozenset() if raw is None else secrets_in(contract, views.parsed(raw))


def _payload(told: Told) -> bytes | None:
    entry, sent = told.found.story.entry, told.found.sent
    if entry is not None:
        return entry.payload
    return None if sent is None else sent.payload


def _attempt(attempt: Any, secrets: frozenset[str]) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "started": show_time(attempt.started),
        "ended": show_time(attempt.ended),
        "took": attempt.ended - attempt.started,
        "worker": attempt.worker,
        "outcome": attempt.outcome,
        "error": None if attempt.error is None else redacted(attempt.error, secrets),
    }


def _result(ledger: LedgerRecord) -> dict[str, Any]:
    if ledger.stored is not None:
        return {"result": None, "resultStored": {"size": ledger.stored.size}}
    if ledger.result is None:
        return {"result": None}
    if len(ledger.result) > SHOWN_MAX:
        return {"result": None, "resultStored": {"size": len(ledger.result)}}
    return {"result": masked(None, orjson.loads(ledger.result))}
