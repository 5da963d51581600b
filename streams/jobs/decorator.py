"""`@job`: turns a function into a handler, and leaves it a function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

from pydantic import ValidationError

from streams.contracts import Event, JobPayload
from streams.errors import PayloadInvalid
from streams.jobs.definition import JobDefinition, QueueDefaults, Stated
from streams.jobs.durations import Duration
from streams.jobs.retry import Retry
from streams.jobs.signature import Signature, read_signature

F = TypeVar("F", bound=Callable[..., Any])


@overload
def job(handler: F, /) -> F: ...
@overload
def job(
    *,
    name: str = "",
    queue: str = "",
    retry: Retry | None = None,
    timeout: Duration | None = None,
    expires: Duration | None = None,
    unique_for: Duration | None = None,
    ordering: Literal["strict", "none"] | None = None,
    on_dead: Literal["release", "halt"] = "release",
    key: str | None = None,
) -> Callable[[F], F]: ...
def job(
    handler: F | None = None,
    /,
    *,
    name: str = "",
    queue: str = "",
    retry: Retry | None = None,
    timeout: Duration | None = None,
    expires: Duration | None = None,
    unique_for: Duration | None = None,
    ordering: Literal["strict", "none"] | None = None,
    on_dead: Literal["release", "halt"] = "release",
    key: str | None = None,
) -> F | Callable[[F], F]:
    """Make a function the handler of an event, a payload, or its own parameters.

    What does not fit is told when a worker starts, for all handlers at once. Options that are
    left out are the queue's, else the engine's.

    Args:
        name: of the job; a payload's contract has it already. Default: module and function.
        queue: of an event's subscriber or of plain parameters; a payload's contract has it.
        retry: attempts (3), backoff and which errors are permanent.
        timeout: of one attempt; 5 minutes by default.
        expires: a job that waits longer than this is ended instead of started.
        unique_for: how long after its end the same id is refused; 24 hours by default.
        ordering: `strict` (the default with a key) or `none`.
        on_dead: what a dead job means to its key: `release` lets the next one run, `halt` makes
            the key wait until the dead job was replayed or discarded.
        key: the ordering key among plain parameters.

    Raises:
        TypeError: what is decorated is no function.
    """
    # Types that were made inside a function are found there only.
    local_names = sys._getframe(1).f_locals
    options = QueueDefaults(retry=retry, timeout=timeout, expires=expires, unique_for=unique_for)

    def decorate(fn: F) -> F:
        code = getattr(inspect.unwrap(fn), "__code__", None)
        if code is None or not inspect.isfunction(fn):
            raise TypeError(f"@job decorates functions, not {fn!r}: write @job, or @job(name=...)")
        mistakes: list[str] = []
        default_name = name or f"{fn.__module__}.{fn.__qualname__}"
        signature = read_signature(
            fn,
            local_names,
            name=default_name,
            queue=queue or "default",
            key=key,
            mistakes=mistakes,
        )
        kind = signature.payload_type
        mistakes += _contradictions(fn, signature, name=name, queue=queue, ordering=ordering)
        if on_dead == "halt" and (kind.__key__ is None or ordering == "none"):
            mistakes.append(
                'on_dead="halt" needs a key and ordering="strict": there is nothing else to halt'
            )
        elif on_dead not in ("release", "halt"):
            mistakes.append(f'on_dead={on_dead!r}: write "release" or "halt"')
        is_event = issubclass(kind, Event)
        definition = JobDefinition(
            name=(kind.__job_name__ if issubclass(kind, JobPayload) else "") or default_name,
            queue=kind.__queue__ if issubclass(kind, JobPayload) else queue or "default",
            handler=fn,
            payload_type=kind,
            trigger="event" if is_event else "payload",
            runs_in="loop" if inspect.iscoroutinefunction(fn) else "thread",
            ctx_parameter=signature.ctx_parameter,
            plain=signature.plain,
            ordering=ordering or ("none" if kind.__key__ is None else "strict"),
            on_dead=on_dead,
            file=code.co_filename,
            line=code.co_firstlineno,
            stated=Stated.check(options, mistakes),
            mistakes=tuple(mistakes),
        ).resolved(Stated())
        fn.__job_definition__ = definition  # type: ignore[attr-defined]
        if not is_event:
            fn.enqueue = _enqueuer(kind)  # type: ignore[attr-defined]
        return fn

    return decorate if handler is None else decorate(handler)


def _contradictions(
    fn: Callable[..., Any], signature: Signature, *, name: str, queue: str, ordering: str | None
) -> list[str]:
    mistakes = []
    kind = signature.payload_type
    if issubclass(kind, JobPayload) and not signature.plain:
        if queue:
            mistakes.append(
                f"queue={queue!r}: {kind.__name__} goes to {kind.__queue__!r}, as its contract "
                "says; leave it out here, since senders know the contract alone"
            )
        if name and name != kind.__job_name__:
            mistakes.append(f"name={name!r} contradicts {kind.__name__}: leave it out")
    if ordering not in (None, "strict", "none"):
        mistakes.append(f'ordering={ordering!r}: write "strict" or "none"')
    if ordering == "strict" and kind.__key__ is None:
        where = "give key=... here" if signature.plain else 'name one in the contract (key="...")'
        mistakes.append(f'ordering="strict" needs a key: {where}')
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        mistakes.append("it yields, so that calling it runs nothing: return instead")
    return mistakes


def _enqueuer(payload_type: type[Any]) -> Callable[..., Any]:
    async def enqueue(payload: Any = None, /, **fields: Any) -> Any:
        """Enqueue this job through the client that is open here; returns its handle.

        Takes the payload, or its fields.

        Raises:
            PayloadInvalid: the fields are not those of the payload.
            StreamsError: no client is open here.
        """
        from streams.client import current

        return await current().enqueue(_payload(payload_type, payload, fields))

    return enqueue


def _payload(payload_type: type[Any], payload: Any, fields: dict[str, Any]) -> Any:
    kind = payload_type.__name__
    if payload is not None:
        if fields or not isinstance(payload, payload_type):
            given = ", ".join([type(payload).__name__, *fields])
            raise PayloadInvalid(f"give one {kind}, or its fields by name; not: {given}", field="")
        return payload
    names = {field.alias or name for name, field in payload_type.model_fields.items()}
    unknown = sorted(fields.keys() - names - payload_type.model_fields.keys())
    if unknown:  # pydantic would leave them out in silence
        known = ", ".join(sorted(names)) or "none"
        raise PayloadInvalid(f"{kind} has no field {unknown[0]!r} ({known})", field=unknown[0])
    try:
        return payload_type(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PayloadInvalid(f"{kind}.{field}: {first['msg']}", field=field) from error
