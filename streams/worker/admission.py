"""From a record to an attempt or an open entry, and back. Pure."""

from __future__ import annotations

from dataclasses import replace

from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.notes import reopened
from streams.jobs.states import State
from streams.wire.envelope import Envelope, Record
from streams.wire.single import Single
from streams.wire.state import OpenEntry
from streams.worker.attempt import Attempt


def attempt_of(
    job: JobKey,
    record: Record,
    envelope: Envelope,
    definition: JobDefinition,
    *,
    lane: bytes | None,
    entry: OpenEntry | None = None,
    single: Single | None = None,
) -> Attempt:
    """The attempt that comes next for a job, with its own options over its definition's."""
    if entry is not None and entry.not_before is not None:
        envelope = replace(envelope, not_before=entry.not_before)
    overrides = envelope.options
    retry = definition.retry
    timeout_ms = definition.timeout_ms
    if overrides is not None:
        retry = replace(
            retry,
            attempts=overrides.attempts or retry.attempts,
            backoff=overrides.backoff or retry.backoff,
        )
        timeout_ms = overrides.timeout_ms or timeout_ms
    expires = envelope.expires
    if entry is not None and entry.generation:
        expires = None  # who replays a dead job wants it to run, however long that is ago
    elif expires is None and definition.expires_ms is not None:
        # Waiting counts from when it was sent and could run: a child carries its parent's time.
        since = max(record.timestamp, could_start(envelope))
        if entry is None or entry.tally is None:
            expires = since + definition.expires_ms
        elif entry.due is not None:  # its children took as long as they took
            expires = max(since, entry.due) + definition.expires_ms
    return Attempt(
        job=job,
        state_key=job.encode(),
        lane=lane,
        envelope=envelope,
        record=record,
        definition=definition,
        offset=record.offset if entry is None else None,
        entry=entry,
        was_opened=entry is not None,
        generation=0 if entry is None else entry.generation,
        run=0 if entry is None else entry.run,
        used=0 if entry is None else entry.attempts,
        due=could_start(envelope) if entry is None or entry.due is None else entry.due,
        retry=retry,
        timeout_ms=timeout_ms,
        expires=expires,
        notebook=None if entry is None else reopened(entry.notes),
        single=single if entry is None else entry.single,
    )


def could_start(envelope: Envelope) -> int:
    """When a job could start at the earliest, in milliseconds since the epoch."""
    if envelope.not_before is None:
        return envelope.time
    return max(envelope.time, envelope.not_before)


def new_entry(
    job: JobKey,
    record: Record,
    envelope: Envelope,
    state: State,
    *,
    arrival: int,
    due: int | None = None,
    blocks: bool = False,
    reason: str = "",
    single: Single | None = None,
) -> OpenEntry:
    """The first entry of a job that has not run."""
    return OpenEntry(
        job=job,
        state=state,
        time=envelope.time,
        enqueued=record.timestamp,
        generation=0,
        run=0,
        attempts=0,
        arrival=arrival,
        due=due,
        blocks=blocks,
        record_key=record.key,
        headers=record.headers,
        payload=record.value or b"",
        reason=reason,
        envelope=envelope,
        origin=(record.topic, record.partition, record.offset),
        single=single,
    )


def waiting_entry(attempt: Attempt) -> OpenEntry:
    """The entry of a job in hand that has not begun: the one that it came from, or its first."""
    return attempt.entry or new_entry(
        attempt.job,
        attempt.record,
        attempt.envelope,
        State.SCHEDULED,
        arrival=attempt.record.offset,
        single=attempt.single,
    )


def put_off(entry: OpenEntry, due: int, commanded: int, *, is_keyed: bool) -> OpenEntry:
    """A job that has not begun, with another time, by the command at this offset.

    What has run, be it in a worker that died, goes on blocking its key; what has not does not.
    """
    has_run, is_asleep = entry.attempts > 0 or entry.has_run, entry.state is State.SLEEPING
    state = State.SLEEPING if is_asleep else State.RETRYING if has_run else State.SCHEDULED
    return replace(
        entry,
        state=state,
        due=due,
        not_before=due if state is State.SCHEDULED else entry.not_before,
        blocks=entry.blocks if is_asleep else has_run and is_keyed,
        held=None,
        is_supposed=False,
        started_by=None,
        starts=max(0, entry.starts - (entry.state is State.RUNNING)),
        commanded=commanded,
    )


def entry_record(entry: OpenEntry) -> Record:
    """The record that an entry was taken over from."""
    topic, partition, offset = entry.origin
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=entry.enqueued,
        key=entry.record_key,
        value=entry.payload,
        headers=entry.headers,
    )
