"""From what somebody asks over HTTP to jobs on their topics. All but the sending is pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streams.client_delivery import Delivery
from streams.client_request import (
    JobOptions,
    as_json,
    bounded,
    checked,
    job_envelope,
    read_json,
)
from streams.contracts import JobPayload
from streams.errors import PayloadInvalid, StreamsError
from streams.jobs.definition import JobDefinition
from streams.jobs.meant import advice
from streams.jobs.registry import Registry
from streams.wire.envelope import Envelope
from streams.wire.topics import MAX_PAYLOAD_BYTES, TopicNames

SOURCE: Final = "console"
TEXT_MAX: Final = 500
"""Characters of an id, a name or a key."""
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One job that is asked for."""

    name: str
    payload: Mapping[str, Any]
    id: str | None = None
    key: str | None = None
    queue: str | None = None
    options: JobOptions = field(default_factory=JobOptions)


class BatchInvalid(StreamsError):
    """Some of many jobs may not be; none was sent. `errors` has why, by their places."""

    def __init__(self, errors: Mapping[int, PayloadInvalid | StreamsError]) -> None:
        super().__init__(f"{len(errors)} of the jobs can't be enqueued; none was")
        self.errors = dict(errors)


def made(
    asked: Asked,
    registry: Registry,
    queues: Sequence[str],
    now: int,
    traceparent: str | None = None,
) -> Envelope:
    """The job's envelope; of a name that is known here the contract says what it must be.

    Raises:
        PayloadInvalid: naming the field at fault.
        PayloadTooLarge: the payload is over the limit.
    """
    definition = registry.by_name(asked.name)
    if asked.queue is not None and asked.queue not in queues:
        raise PayloadInvalid(
            f"queue: there is no queue {asked.queue!r}; {advice(asked.queue, queues)}",
            field="queue",
        )
    if definition is None:
        queue, key, scope = _unknown(asked, registry), asked.key, asked.name
        payload = as_json(asked.payload)
    else:
        contract = _contract(definition)
        model, payload = _fitting(contract, asked.payload)
        queue = asked.queue or definition.queue
        key, scope = _key(asked, contract, model), definition.key_scope
    metadata = {}
    if traceparent is not None and _TRACEPARENT.fullmatch(traceparent):
        metadata["traceparent"] = traceparent
    return job_envelope(
        name=asked.name,
        queue=queue,
        source=SOURCE,
        payload=bounded(payload, MAX_PAYLOAD_BYTES, asked.name),
        scope=scope,
        key=key,
        id=asked.id,
        options=asked.options,
        now=now,
        metadata=metadata,
    )


def all_made(
    asked: Sequence[Asked],
    registry: Registry,
    queues: Sequence[str],
    now: int,
    traceparent: str | None = None,
) -> list[Envelope]:
    """The envelopes of many, if all of them may be.

    Raises:
        BatchInvalid: naming those that may not, and why.
    """
    envelopes, errors = [], {}
    for place, each in enumerate(asked):
        try:
            envelopes.append(made(each, registry, queues, now, traceparent))
        except StreamsError as error:
            errors[place] = error
    if errors:
        raise BatchInvalid(errors)
    return envelopes


async def enqueue(delivery: Delivery, names: TopicNames, envelopes: Sequence[Envelope]) -> None:
    """Put jobs on their queues; durable when this returns.

    Raises:
        BrokerUnavailable: not acknowledged in time.
        TopicMismatch: a queue has no topic.
    """
    await delivery.deliver([(names.queue(each.queue or ""), each) for each in envelopes])


def _unknown(asked: Asked, registry: Registry) -> str:
    if asked.queue is not None:
        return asked.queue
    names = [each.name for each in registry.definitions()]
    hint = f"; {advice(asked.name, names)}" if names else ""
    raise PayloadInvalid(
        f"queue: no handler named {asked.name!r} is known to this console, so say in which queue "
        f"its jobs are{hint}",
        field="queue",
    )


def _contract(definition: JobDefinition) -> type[JobPayload]:
    contract = definition.payload_type
    if issubclass(contract, JobPayload):
        return contract
    raise PayloadInvalid(
        f"name: {definition.name} is started by the event {contract.__event_type__}: send that to "
        "/events",
        field="name",
    )


def _fitting(contract: type[JobPayload], payload: Mapping[str, Any]) -> tuple[JobPayload, bytes]:
    """The payload as its contract has it; a field that it has not is refused, not left out."""
    if contract.model_config.get("extra", "ignore") == "ignore":
        known = {
            name
            for field, info in contract.model_fields.items()
            for name in (field, info.alias, info.validation_alias)
            if isinstance(name, str)
        }
        takes_any = any(
            info.validation_alias is not None and not isinstance(info.validation_alias, str)
            for info in contract.model_fields.values()
        )
        if not takes_any and (unknown := sorted(payload.keys() - known)):
            fields = ", ".join(sorted(known)) or "none"
            raise PayloadInvalid(
                f"payload.{unknown[0]}: {contract.__name__} has no such field; it has {fields}",
                field=f"payload.{unknown[0]}",
            )
    try:
        return checked(read_json(contract, as_json(payload)))
    except PayloadInvalid as error:
        field = f"payload.{error.field}" if error.field else "payload"
        raise PayloadInvalid(f"{field}: {error}", field=field) from None


def _key(asked: Asked, contract: type[JobPayload], model: JobPayload) -> str | None:
    key = model.ordering_key()
    if asked.key is not None and asked.key != key:
        own = "none" if contract.__key__ is None else "another one"
        raise PayloadInvalid(
            f"key: the contract of {asked.name} gives this job {own}: leave it out", field="key"
        )
    return key
