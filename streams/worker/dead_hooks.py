"""What a definition wants of its dead jobs, as values: when, and the job that hears of each."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from streams.jobs.after_dead import AfterDead, DeadJob
from streams.jobs.definition import JobDefinition
from streams.jobs.outcome import Failure
from streams.wire.envelope import Envelope, encode
from streams.wire.state import OpenEntry
from streams.worker.ports import Append
from streams.worker.settlement import Place

PAYLOAD_MAX: Final = 512 * 1024
SOURCE: Final = "after-dead"
_NOTHING: Final = AfterDead()


def policy_of(definition: JobDefinition | None) -> AfterDead:
    """The policy of a definition; one that does nothing if it has none, or is not known here."""
    if definition is None or definition.after_dead is None:
        return _NOTHING
    return definition.after_dead


def with_letter_sent(entry: OpenEntry, definition: JobDefinition | None) -> OpenEntry:
    """A dead job whose letter is durable: it waits for what its definition wants, or for people."""
    due = policy_of(definition).due(entry.generation, entry.failed_at)
    return replace(entry, letter_pending=False, due=due)


def hook_of(entry: OpenEntry, definition: JobDefinition | None, place: Place) -> tuple[Append, ...]:
    """The job for the handler of a definition's dead jobs: the same each time for one failure."""
    run = policy_of(definition).run
    if run is None:
        return ()
    hook: JobDefinition = run.__job_definition__  # type: ignore[attr-defined]
    failure = entry.failure or Failure(type="", message=entry.reason, trace="")
    failed_at = entry.failed_at
    scoped = entry.job.ordering_key
    dead = DeadJob(
        name=entry.job.name,
        id=entry.job.id,
        queue=place.queue,
        key=None if scoped is None else scoped.partition(":")[2],
        generation=entry.generation,
        attempts=entry.attempts,
        error=failure.type,
        message=failure.message,
        failed_at=datetime.fromtimestamp(failed_at / 1000, UTC),
        payload=_payload(entry.payload),
    )
    told = [entry.job.encode().decode(), entry.generation, hook.name]
    id_ = f"{hook.name}:{hashlib.sha256(orjson.dumps(told)).hexdigest()[:32]}"
    envelope = Envelope(
        id=id_,
        name=hook.name,
        source=SOURCE,
        time=failed_at,
        queue=hook.queue,
        key=None if dead.key is None else f"{hook.key_scope}:{dead.key}",
        payload=dead.model_dump_json().encode(),
        parent=entry.job.id,
    )
    key, value, headers = encode(envelope)
    return (Append(place.names.queue(hook.queue), None, key, value, headers),)


def _payload(payload: bytes) -> Any:
    if len(payload) > PAYLOAD_MAX:
        return None
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
