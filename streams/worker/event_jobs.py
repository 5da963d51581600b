"""The jobs that an event starts, one for each of its subscribers."""

from __future__ import annotations

import logging

from pydantic import ValidationError

from streams.errors import UndecodableRecord
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import fan_out_id
from streams.jobs.outcome import trace_of
from streams.redaction import redacted
from streams.sensitive import secrets_of
from streams.wire.envelope import Envelope
from streams.wire.topics import MAX_JOB_BYTES
from streams.worker.ports import Append

logger = logging.getLogger(__name__)


def append_of(
    topic: str,
    definition: JobDefinition,
    record: tuple[bytes, bytes, list[tuple[str, bytes]]],
) -> Append:
    """The record of a job that an event starts; `topic` is that of its queue.

    Raises:
        UndecodableRecord: it would be too large for that.
    """
    key, value, headers = record
    size = len(value) + sum([len(text) for _, text in headers])
    if size > MAX_JOB_BYTES:
        raise UndecodableRecord(
            f"the job for {definition.name} would have {size} bytes, the limit is {MAX_JOB_BYTES}"
        )
    return Append(topic, None, key, value, headers)


def job_of(event: Envelope, definition: JobDefinition) -> Envelope:
    """The job that an event starts for one of its subscribers."""
    return Envelope(
        id=fan_out_id(definition.name, event.source, event.id),
        name=definition.name,
        source=event.source,
        time=event.time,
        queue=definition.queue,
        key=key_of(event.payload, event.id, definition),
        content_type=event.content_type,
        payload=event.payload,
        parent=event.id,
        traceparent=event.traceparent,
        extensions=event.extensions,
    )


def key_of(payload: bytes, event_id: str, definition: JobDefinition) -> str | None:
    """The ordering key of that job with its scope; None: it has none, or it can't be computed."""
    try:
        key = definition.ordering_key(definition.payload_type.model_validate_json(payload))
    except ValidationError:
        return None  # the queue tells what is wrong with it, in a dead letter of its own
    except Exception as error:  # a contract may compute its key, and stop no partition by it
        logger.error(
            "the key of event %s can't be computed; its job is unordered\n%s",
            event_id,
            # It may say what is sensitive in the event.
            redacted(trace_of(error), secrets_of(definition.payload_type, payload)),
        )
        return None
    return None if key is None else f"{definition.key_scope}:{key}"
