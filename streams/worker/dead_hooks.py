"""What a definition wants of its dead jobs, as values: when, and the job that hears of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import orjson

from streams.jobs.after_dead import AfterDead
from streams.jobs.definition import JobDefinition
from streams.jobs.outcome import Failure
from streams.wire.envelope import Envelope, encode
from streams.wire.state import OpenEntry
from streams.wire.times import show_time
from streams.wire.topics import MAX_JOB_BYTES
from streams.worker.ports import Append
from streams.worker.settlement import Place

PAYLOAD_MAX: Final = 512 * 1024
LOOK_AGAIN_MS: Final = 15 * 60_000
"""In a rolling deploy a definition that this worker does not know is known to the next one."""
SOURCE: Final = "after-dead"
# Failures without an attempt: no handler raised these.
UNKNOWN_JOB: Final = "UnknownJob"
WORKER_DIED: Final = "WorkerDied"
_AROUND: Final = 1024  # bytes that a record and its batch have besides
_NOTHING: Final = AfterDead()


def policy_of(definition: JobDefinition | None) -> AfterDead:
    """The policy of a definition; one that does nothing if it has none, or is not known here."""
    if definition is None or definition.after_dead is None:
        return _NOTHING
    return definition.after_dead


def policy_since(entry: OpenEntry) -> int:
    """From when on a policy counts: its last failure, or when it was brought back."""
    return max(entry.failed_at, entry.restored or 0)


def due_by_policy(entry: OpenEntry, definition: JobDefinition | None, now: int) -> int | None:
    """When something is to be done with a dead job; None: that is up to people."""
    since = policy_since(entry)
    if definition is None:
        if entry.failure is not None and entry.failure.type == UNKNOWN_JOB:
            return None  # it died of that, and has no policy
        # Ever more seldom, as nobody may know it any more.
        return now + max(LOOK_AGAIN_MS, now - since)
    return policy_of(definition).due(entry.generation, since)


def with_letter_sent(entry: OpenEntry, definition: JobDefinition | None, now: int) -> OpenEntry:
    """A dead job whose letter is durable: it waits for what its definition wants, or for people."""
    return replace(entry, letter_pending=False, due=due_by_policy(entry, definition, now))


def hook_of(entry: OpenEntry, definition: JobDefinition | None, place: Place) -> tuple[Append, ...]:
    """The job for the handler of a definition's dead jobs: the same each time for one failure.

    None for a job that was brought back and has not failed since: it had told of its failure.
    Whatever the dead job is, this makes one that fits into its topic.
    """
    run = policy_of(definition).run
    is_told = entry.restored is not None and entry.failed_at <= entry.restored
    if run is None or definition is None or is_told:
        return ()
    hook: JobDefinition = run.__job_definition__  # type: ignore[attr-defined]
    for told, key in _told(entry, definition, hook, place):
        append = _append(entry, hook, told, key, place)
        if fits(append):
            return (append,)
    return ()


def _append(
    entry: OpenEntry, hook: JobDefinition, told: bytes, key: str | None, place: Place
) -> Append:
    failure = [entry.job.encode().decode(), entry.time, entry.generation, hook.name]
    envelope = Envelope(
        id=f"{hook.name}:{hashlib.sha256(orjson.dumps(failure)).hexdigest()[:32]}",
        name=hook.name,
        source=SOURCE,
        time=entry.failed_at,
        queue=hook.queue,
        key=None if key is None else f"{hook.key_scope}:{key}",
        payload=told,
        parent=entry.job.id,
    )
    record_key, value, headers = encode(envelope)
    return Append(place.names.queue(hook.queue), None, record_key, value, headers)


def _told(
    entry: OpenEntry, definition: JobDefinition, hook: JobDefinition, place: Place
) -> Iterator[tuple[bytes, str | None]]:
    """Payloads of the hook's job, each with its key: with the dead job's own one, and without."""
    failure = entry.failure or Failure(type="", message=entry.reason, trace="")
    key = unscoped(entry.job.ordering_key, definition)
    fields: dict[str, Any] = {
        "name": entry.job.name,
        "id": entry.job.id,
        "queue": place.queue,
        "key": key,
        "generation": entry.generation,
        "attempts": entry.attempts,
        "error": failure.type,
        "message": failure.message,
        "failed_at": show_time(entry.failed_at),
        "is_last": policy_of(definition).is_last(entry.generation),
    }
    if len(entry.payload) <= PAYLOAD_MAX:
        # As it is: numbers that are read and written again may grow, or lose digits.
        yield from _read(hook, {**fields, "payload": orjson.Fragment(entry.payload)})
    yield from _read(hook, {**fields, "payload": None})
    yield orjson.dumps({**fields, "payload": None}), key  # its handler's contract wants more


def _read(hook: JobDefinition, fields: dict[str, Any]) -> Iterator[tuple[bytes, str | None]]:
    told = orjson.dumps(fields)
    try:
        yield told, hook.ordering_key(hook.payload_type.model_validate_json(told))
    except Exception:  # not JSON, too deep, or not as its handler's contract has it
        return


def unscoped(key: str | None, definition: JobDefinition) -> str | None:
    """An ordering key without its scope; a foreign one may have none."""
    return None if key is None else key.removeprefix(f"{definition.key_scope}:")


def fits(append: Append) -> bool:
    """Whether its topic takes it: one that is refused would stop its partition for ever."""
    headers = sum(len(name) + len(value or b"") for name, value in append.headers)
    return len(append.key or b"") + len(append.value or b"") + headers <= MAX_JOB_BYTES - _AROUND
