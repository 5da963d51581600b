"""From what a caller asks to the envelope that is sent: every check that needs no broker."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson
from pydantic_core import PydanticSerializationError, ValidationError

from streams.durations import Duration, to_ms
from streams.errors import PayloadInvalid, PayloadTooLarge
from streams.jobs.batches import ChildOf
from streams.jobs.identity import JobKey, batch_child_id, new_id
from streams.jobs.option_names import OF_A_JOB, OF_AN_EVENT, refuse_options
from streams.jobs.retry import Exponential, Fixed
from streams.wire.envelope import Envelope, JobOverrides
from streams.wire.headers import CE_PREFIX, REPLAY
from streams.wire.times import LATEST, to_epoch_ms

if TYPE_CHECKING:  # building the first pydantic model takes longer than all other imports here
    from pydantic import BaseModel

    from streams.contracts import Event, JobPayload

Metadata = str | int | bool
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")  # of CloudEvents, which asks for no more than 20
Model = TypeVar("Model", bound="BaseModel")
T = TypeVar("T")

# CloudEvents' own attributes, and our extensions.
_TAKEN = frozenset(
    {"specversion", "id", "type", "source", "time", "partitionkey", "data", "datacontenttype"}
    | {"queue", "notbefore", "expires", "parent", "options", "childof", "awaits", REPLAY}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """When one job runs, and what it overrides."""

    delay: Duration | None = None
    run_at: datetime | None = None
    attempts: int | None = None
    timeout: Duration | None = None
    expires: Duration | None = None  # counted from the sending
    backoff: Exponential | Fixed | None = None
    on_dead_id: Literal["replace"] | None = None  # a dead job with its id is discarded for it

    def not_before(self, now: int) -> int | None:
        """When it may run at the earliest; None for now, which includes the past."""
        if self.delay is not None and self.run_at is not None:
            raise PayloadInvalid("give either delay or run_at, not both", field="run_at")
        if self.delay is not None:
            return _future("delay", now + _positive("delay", self.delay, least=0), now)
        if self.run_at is None:
            return None
        if not isinstance(self.run_at, datetime):
            raise PayloadInvalid(
                f"run_at={self.run_at!r} is no datetime: write datetime(..., tzinfo=UTC)",
                field="run_at",
            )
        if self.run_at.tzinfo is None:
            raise PayloadInvalid(
                f"run_at={self.run_at!r} has no time zone: use datetime.now(UTC) + ..., "
                "or .replace(tzinfo=...)",
                field="run_at",
            )
        return _future("run_at", to_epoch_ms(self.run_at), now)

    def expires_at(self, now: int) -> int | None:
        """After which it does not start any more."""
        if self.expires is None:
            return None
        return _future("expires", now + _positive("expires", self.expires), now)

    def overrides(self) -> JobOverrides | None:
        """What travels with the job for its worker."""
        if self.on_dead_id not in (None, "replace"):
            raise PayloadInvalid(
                f'on_dead_id={self.on_dead_id!r}: write "replace", or leave it out',
                field="on_dead_id",
            )
        given = (self.attempts, self.timeout, self.backoff, self.on_dead_id)
        if all(each is None for each in given):
            return None
        if self.attempts is not None and (type(self.attempts) is not int or self.attempts < 1):
            raise PayloadInvalid(
                f"attempts={self.attempts!r}: give a whole number from 1", field="attempts"
            )
        if not isinstance(self.backoff, Exponential | Fixed | None):
            raise PayloadInvalid(
                f"backoff={self.backoff!r} cannot travel with a job: give Exponential or Fixed, "
                "or set it in the definition",
                field="backoff",
            )
        timeout_ms = None if self.timeout is None else _positive("timeout", self.timeout)
        return JobOverrides(
            attempts=self.attempts,
            timeout_ms=timeout_ms,
            backoff=self.backoff,
            replaces_dead=self.on_dead_id is not None,
        )


def new_due(*, delay: Duration | None, run_at: datetime | None, now: int) -> int:
    """When a job is to start that gets another time at `now`; both in ms since the epoch.

    Raises:
        PayloadInvalid: neither or both are given, or it is no time.
    """
    if delay is None and run_at is None:
        raise PayloadInvalid("say when: give delay or run_at", field="run_at")
    return JobOptions(delay=delay, run_at=run_at).not_before(now) or now


def now_ms() -> int:
    """This machine's clock, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def check_event(event: object, metadata: Mapping[str, object]) -> None:
    """Nothing, if this can be emitted.

    Raises:
        TypeError: it is no event, or metadata has the name of an option.
    """
    job, fact = _contracts()
    kind = type(event).__name__
    if isinstance(event, job):
        raise TypeError(f"{kind} asks for a job: use enqueue(...); emit(...) publishes an Event")
    if not isinstance(event, fact):
        raise TypeError(_no_contract(event, "emit", "Event", "emit_raw(type, {...})"))
    refuse_options(metadata, "emit", OF_AN_EVENT)


def check_job(payload: object, metadata: Mapping[str, object], call: str = "enqueue") -> None:
    """Nothing, if this can be enqueued.

    Raises:
        TypeError: it is no payload, or metadata has the name of an option.
    """
    job, fact = _contracts()
    kind = type(payload).__name__
    if isinstance(payload, fact):
        raise TypeError(f"{kind} is an event: use emit(...); {call}(...) takes a JobPayload")
    if not isinstance(payload, job):
        raise TypeError(
            _no_contract(payload, call, "JobPayload", "enqueue_raw(name, queue, {...})")
        )
    refuse_options(metadata, call, OF_A_JOB)


@cache
def _contracts() -> tuple[type[JobPayload], type[Event]]:
    from streams.contracts import Event, JobPayload

    return JobPayload, Event


def check_raw_options(metadata: Mapping[str, object], call: str) -> None:
    """Nothing, if no option is among the metadata of a call that has no contract.

    Raises:
        TypeError: one is.
    """
    if call == "emit_raw":
        return refuse_options(metadata, call, OF_AN_EVENT)
    for name in metadata:
        if name in OF_A_JOB:
            raise TypeError(f"{call}({name}=...): write options=JobOptions({name}=...)")
    return refuse_options(metadata, call, OF_A_JOB)


def _no_contract(given: object, call: str, base: str, raw: str) -> str:
    from streams.cron.tick import NO_JOB, Tick

    if isinstance(given, type) and issubclass(given, Tick):
        return NO_JOB
    if isinstance(given, type):
        return f"{call}(...) takes an instance: {given.__name__}(...), not the class itself"
    return (
        f"{call}(...) takes an instance of a class that extends {base}, not "
        f"{type(given).__name__}: declare one, or use {raw}"
    )


def read_json(contract: type[Model], text: str | bytes) -> Model:
    """A payload that somebody wrote.

    Raises:
        PayloadInvalid: naming the field at fault.
    """
    from streams.cron.tick import Tick, misfit
    from streams.sensitive import mistake_in

    try:
        return contract.model_validate_json(text)
    except ValidationError as error:
        field, why = mistake_in(contract, error)
        where = f"{contract.__name__}.{field}" if field else contract.__name__
        told = f"{where}: {why}"
        if issubclass(contract, Tick):
            told = misfit(contract, field, why)
        raise PayloadInvalid(told, field=field) from None


def checked(model: Model) -> tuple[Model, bytes]:
    """The payload's bytes, and the model as its reader will see it.

    A model may have been changed or built without validation, so it goes the reader's way once.

    Raises:
        PayloadInvalid: naming the field at fault.
    """
    from streams.revealing import wire_json
    from streams.sensitive import mistake_in

    kind = type(model)
    try:
        payload = wire_json(model)
        return kind.model_validate_json(payload), payload
    except ValidationError as error:
        field, why = mistake_in(kind, error)
        more = error.error_count() - 1
        raise PayloadInvalid(
            f"{kind.__name__}.{field}: {why}{f' (and {more} more)' if more else ''}",
            field=field,
        ) from error
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        why = f"{kind.__name__} cannot be written as JSON: {error}"
        raise PayloadInvalid(why, field="") from error


def as_json(payload: Mapping[str, Any]) -> bytes:
    """A payload that comes without a model.

    Raises:
        PayloadInvalid: it holds what JSON cannot.
    """
    try:
        return orjson.dumps(dict(payload))
    except (TypeError, orjson.JSONEncodeError) as error:
        raise PayloadInvalid(f"the payload cannot be written as JSON: {error}", field="") from error


def bounded(payload: bytes, limit: int, what: str) -> bytes:
    """The payload, if it is not too large.

    Raises:
        PayloadTooLarge: it is.
    """
    if len(payload) > limit:
        raise PayloadTooLarge(
            f"{what}: the payload has {len(payload)} bytes, the limit is {limit}: "
            "store the data elsewhere and send a reference to it",
            size=len(payload),
            limit=limit,
        )
    return payload


def job_envelope(
    *,
    name: str,
    queue: str,
    source: str,
    payload: bytes,
    scope: str,
    key: str | None,
    id: str | None,
    options: JobOptions,
    now: int,
    metadata: Mapping[str, Metadata],
) -> Envelope:
    """The envelope of a job that is sent at `now`; `key` is the ordering key without its scope."""
    if options.on_dead_id is not None and id is None:
        raise PayloadInvalid(
            f'on_dead_id="{options.on_dead_id}" needs id=: a new id has no dead job',
            field="on_dead_id",
        )
    return Envelope(
        id=_identity(id),
        name=name,
        source=source,
        time=now,
        payload=payload,
        queue=queue,
        key=None if key is None else f"{scope}:{key}",
        not_before=options.not_before(now),
        expires=options.expires_at(now),
        options=options.overrides(),
        traceparent=_traceparent(metadata),
        extensions=extensions(metadata),
    )


def child_envelope(callback: Envelope, child: Envelope, index: int) -> Envelope:
    """A job as the child of a batch; the same again has the same id."""
    job = JobKey(name=callback.name, ordering_key=callback.key, id=callback.id)
    return replace(
        child,
        id=batch_child_id(job, child.name, index),
        parent=callback.id,
        child_of=ChildOf(queue=callback.queue or "", callback=job, index=index),
    )


def event_envelope(
    *,
    type: str,
    source: str,
    payload: bytes,
    key: str | None,
    id: str | None,
    time: datetime | None,
    now: int,
    metadata: Mapping[str, Metadata],
) -> Envelope:
    """The envelope of an event, which happened at `time`, else `now` (ms since the epoch)."""
    if time is not None and time.tzinfo is None:
        raise PayloadInvalid(
            f"time={time!r} has no time zone: use datetime.now(UTC), or .replace(tzinfo=...)",
            field="time",
        )
    return Envelope(
        id=_identity(id),
        name=type,
        source=source,
        time=now if time is None else to_epoch_ms(time),
        payload=payload,
        key=key,
        traceparent=_traceparent(metadata),
        extensions=extensions(metadata),
    )


def extensions(metadata: Mapping[str, Metadata]) -> dict[str, str]:
    """Metadata as CloudEvents extensions, whose names are up to 20 of a-z and 0-9.

    An underscore is allowed here and does not travel: `user_id` arrives as `userid`.

    Raises:
        PayloadInvalid: a name is taken or impossible, or a value is neither text nor number.
    """
    named: dict[str, str] = {}
    for given, value in metadata.items():
        if given == "traceparent" or value is None:
            continue
        name = given.replace("_", "")
        if not _EXTENSION.fullmatch(name) or name in _TAKEN or name in named:
            raise PayloadInvalid(
                f"metadata {given!r} cannot be the CloudEvents extension {CE_PREFIX}{name}: "
                "use another name, of up to 20 letters a-z, digits and underscores",
                field=given,
            )
        if isinstance(value, bool):
            named[name] = "true" if value else "false"
        elif isinstance(value, str | int):
            named[name] = str(value)
        else:
            raise PayloadInvalid(
                f"metadata {given}={value!r}: give text or a whole number; "
                "what is structured belongs into the payload",
                field=given,
            )
    return named


def _identity(given: str | None) -> str:
    if given is None:
        return new_id()
    if not isinstance(given, str) or not given:
        raise PayloadInvalid(f"id={given!r}: give a text that is not empty", field="id")
    return given


def _traceparent(metadata: Mapping[str, Metadata]) -> str | None:
    value = metadata.get("traceparent")
    return None if value is None else str(value)


def _positive(name: str, duration: Duration, least: int = 1) -> int:
    try:
        ms = to_ms(duration)
    except ValueError as error:
        raise PayloadInvalid(f"{name}: {error}", field=name) from error
    if ms < least and name != "delay":
        raise PayloadInvalid(f"{name}={duration!r}: must be longer than nothing", field=name)
    return ms


def _future(name: str, moment: int, now: int) -> int | None:
    if moment > LATEST:
        raise PayloadInvalid(f"{name} is after the year 9999", field=name)
    return moment if moment > now else None


def nameless(model: Event | JobPayload, argument: str) -> PayloadInvalid:
    """The error for a contract that does not say what it is called."""
    from streams.cron.tick import NO_JOB, Tick

    cls = type(model).__name__
    if isinstance(model, Tick):
        return PayloadInvalid(NO_JOB, field=argument)
    base = "Event" if argument == "type" else "JobPayload"
    return PayloadInvalid(
        f'{cls} has no {argument}: declare it with class {cls}({base}, {argument}="...")',
        field=argument,
    )


async def each(values: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """What can be iterated in either way, in one."""
    if isinstance(values, AsyncIterable):
        async for value in values:
            yield value
    else:
        for value in values:
            yield value
