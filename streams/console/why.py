"""Why a job is not done yet: the evidence comes from the projection, and is judged as ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from sqlite3 import Connection
from typing import Any, Final

from streams.client_request import now_ms
from streams.console.console import Console
from streams.console.story import Told, contract_of, secrets_of, tell
from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.projection.filter import Filter
from streams.projection.job import Job
from streams.projection.kinds import Kinds
from streams.projection.listing import Listing
from streams.projection.row import RETRY, Row
from streams.projection.states import CODES, NAMES
from streams.redaction import redacted
from streams.replay.workers import Held, WorkerSeen
from streams.story.explain import Answer, Evidence, Run, error_of, explain, rank
from streams.wire.state import OpenEntry, decode_open
from streams.wire.times import show_time

_STARTED: Final = frozenset(CODES[name] for name in ("running", "retrying", "sleeping", "dead"))
_PARKED: Final = frozenset((CODES["parked"],))
_BLOCKERS: Final = 10  # that are looked at


async def answer_for(console: Console, told: Told) -> tuple[Answer, Evidence]:
    """Why a job is not done yet, in a word and a sentence, and from what that follows.

    Nothing sensitive of its own payload is in it.
    """
    now = now_ms()
    evidence = await gather(console, told, now)
    answer = explain(evidence, now)
    secrets = secrets_of(told, contract_of(console, told.found.job.name))
    return replace(answer, text=redacted(answer.text, secrets)), evidence


async def why(console: Console, job: Job) -> dict[str, Any]:
    """The same as JSON values."""
    told = await tell(console, job)
    answer, evidence = await answer_for(console, told)
    return _shown(told, evidence, answer)


async def gather(console: Console, told: Told, now: int) -> Evidence:
    """What the projection knows that bears on one job."""
    row, found = told.row, told.found
    queue, name, key = found.queue, found.job.name, found.job.ordering_key
    workers = console.feed.board.workers(now)
    owner = next((w for w in workers if row.partition in w.partitions.get(queue, ())), None)
    paused = console.feed.board.control.paused()
    committed = await console.ask(lambda db: _committed(db, queue, row.partition))
    return Evidence(
        found=found,
        offset=row.sent_offset if row.sent_offset >= 0 else None,
        committed=committed,
        blockers=tuple(await _blockers(console, told)),
        runs=tuple(_runs(workers, found.job)),
        owner=None if owner is None else owner.worker,
        attempts=_attempts(console, told),
        pause=paused.get((queue, "")),
        job_pause=paused.get((queue, name)),
        limit="" if owner is None else _reason(owner.limits, name, key),
        call="" if owner is None else _reason(owner.calls, name, key),
        full=() if owner is None else owner.full,
    )


def _committed(db: Connection, queue: str, partition: int) -> int:
    row = db.execute(
        "select position from commits where queue = ? and partition = ?", (queue, partition)
    ).fetchone()
    return 0 if row is None else int(row[0])


async def _blockers(console: Console, told: Told) -> Sequence[OpenEntry]:
    """Open jobs of its key that others wait for, the first first: a few of them."""
    key, queue = told.row.key, told.found.queue
    if key is None:
        return []

    def read(db: Connection) -> list[Job]:
        listing = Listing(db)
        rows: list[Row] = []
        for states in (_STARTED, _PARKED):  # what has started is before what waits
            wanted = Filter(states=states, queue=queue, key=key)
            rows += listing.page(wanted, limit=_BLOCKERS, newest_first=False).rows
        kinds = Kinds.read(db)
        return [Job.of(row, kinds) for row in rows[:_BLOCKERS]]

    entries = []
    for job in await console.ask(read):
        row = job.row
        if job.identity == told.job.identity or row.key != key or row.seen_in != RETRY:
            continue
        topic = console.names.retry(queue)
        record = await console.records.get(topic, row.partition, row.seen_offset)
        if record is None or record.value is None:
            continue  # it has gone on meanwhile
        try:
            entry = decode_open(record.key or b"", record.value)
        except (UndecodableRecord, ValueError):
            continue
        if entry.blocks:
            entries.append(entry)
    return sorted(entries, key=rank)


def _runs(workers: Sequence[WorkerSeen], job: JobKey) -> Iterator[Run]:
    for worker in workers:
        for each in worker.running:
            its = JobKey(name=each.name, ordering_key=each.key, id=each.id)
            is_of_key = job.ordering_key is not None and its.ordering_key == job.ordering_key
            if its == job or is_of_key:
                yield Run(job=its, worker=worker.worker, since=each.since, attempt=each.attempt)


def _reason(held: Sequence[Held], name: str, key: str | None) -> str:
    return next((each.reason for each in held if each.holds(name, key)), "")


def _attempts(console: Console, told: Told) -> int | None:
    sent = told.found.sent
    if sent is not None and sent.options is not None and sent.options.attempts:
        return sent.options.attempts
    definition = console.registry.by_name(told.found.job.name)
    return None if definition is None else definition.retry.attempts


def _shown(told: Told, evidence: Evidence, answer: Answer) -> dict[str, Any]:
    found, first = evidence.found, answer.blocker
    entry = found.story.entry
    due = None if entry is None else entry.due
    return {
        "id": found.job.id,
        "name": found.job.name,
        "queue": found.queue,
        "key": found.job.ordering_key,
        "state": NAMES[told.row.state],
        "why": answer.kind,
        "answer": answer.text,
        "remedy": answer.remedy or None,
        "due": None if due is None else show_time(due),
        "before": answer.before,
        "blocker": None
        if first is None
        else {
            "id": first.job.id,
            "name": first.job.name,
            "state": first.told.value,
            "attempts": first.attempts,
            "error": error_of(first) or None,
        },
        "worker": evidence.owner,
    }
