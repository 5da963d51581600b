"""`@job`: turns a function into a handler, and leaves it a function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_type_hints, overload

from pydantic import create_model

from streams.contracts import Event, JobPayload
from streams.jobs.context import JobContext
from streams.jobs.definition import TIMEOUT_MS, UNIQUE_FOR_MS, JobDefinition
from streams.jobs.durations import Duration, to_ms
from streams.jobs.retry import Retry

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
    key: str | None = None,
) -> F | Callable[[F], F]:
    """Make a function the handler of an event, a payload, or its own parameters.

    Args:
        name: of the job; a payload's contract has it already. Default: module and function.
        queue: of an event's subscriber or of plain parameters; a payload's contract has it.
        retry: attempts, backoff and which errors are permanent.
        timeout: of one attempt; 5 minutes by default.
        expires: a job that waits longer than this is ended instead of started.
        unique_for: how long after its end the same id is refused; 24 hours by default.
        ordering: `strict` (the default with a key) or `none`.
        key: the ordering key among plain parameters.
    """

    def decorate(fn: F) -> F:
        mistakes: list[str] = []
        payload_type, ctx_parameter, plain = _signature(fn, name, queue, key, mistakes)
        is_event = issubclass(payload_type, Event)
        if issubclass(payload_type, JobPayload) and not plain:
            if queue and queue != payload_type.__queue__:
                mistakes.append(
                    f"queue={queue!r} contradicts {payload_type.__name__}, which goes to "
                    f"{payload_type.__queue__!r}: say it in the contract alone"
                )
            if name and name != payload_type.__job_name__:
                mistakes.append(f"name={name!r} contradicts {payload_type.__name__}: leave it out")
        has_key = payload_type.__key__ is not None
        if ordering == "strict" and not has_key:
            mistakes.append(
                'ordering="strict" needs a key: name one in the contract (key="user_id")'
            )
        durations = {}
        for option, given, default in (
            ("timeout", timeout, TIMEOUT_MS),
            ("expires", expires, None),
            ("unique_for", unique_for, UNIQUE_FOR_MS),
        ):
            durations[option] = _duration(option, given, default, mistakes)
        if retry is not None and retry.attempts < 1:
            mistakes.append(f"attempts={retry.attempts}: at least 1 is needed to run at all")
        code = inspect.unwrap(fn).__code__
        named = payload_type.__job_name__ if issubclass(payload_type, JobPayload) else ""
        where = payload_type.__queue__ if issubclass(payload_type, JobPayload) else ""
        definition = JobDefinition(
            name=named or name or f"{fn.__module__}.{fn.__qualname__}",
            queue=where or queue or "default",
            handler=fn,
            payload_type=payload_type,
            trigger="event" if is_event else "payload",
            runs_in="loop" if inspect.iscoroutinefunction(fn) else "thread",
            ctx_parameter=ctx_parameter,
            plain=plain,
            retry=retry or Retry(),
            timeout_ms=durations["timeout"] or TIMEOUT_MS,
            expires_ms=durations["expires"],
            unique_for_ms=durations["unique_for"] or 0,
            ordering=ordering or ("strict" if has_key else "none"),
            file=code.co_filename,
            line=code.co_firstlineno,
            mistakes=tuple(mistakes),
        )
        fn.__job_definition__ = definition  # type: ignore[attr-defined]
        if not is_event:
            fn.enqueue = _enqueuer(payload_type)  # type: ignore[attr-defined]
        return fn

    return decorate if handler is None else decorate(handler)


def _duration(
    option: str, given: Duration | None, default: int | None, mistakes: list[str]
) -> int | None:
    if given is None:
        return default
    try:
        ms = to_ms(given)
    except ValueError as error:
        mistakes.append(f"{option}: {error}")
        return default
    if ms == 0 and option != "unique_for":
        mistakes.append(f"{option}={given!r} must be longer than nothing")
    return ms


def _signature(
    fn: Callable[..., Any], name: str, queue: str, key: str | None, mistakes: list[str]
) -> tuple[type[Event] | type[JobPayload], str | None, bool]:
    """Payload type, name of the context's parameter, whether the parameters are plain."""
    parameters = list(inspect.signature(fn).parameters.values())
    try:
        hints = get_type_hints(fn, vars(sys.modules.get(fn.__module__, sys)))
    except NameError as error:
        mistakes.append(f"a type can't be resolved ({error}): import it at the top of the module")
        hints = {}
    context = next(
        (p.name for p in parameters if hints.get(p.name) is JobContext or p.name == "ctx"), None
    )
    values = [p for p in parameters if p.name != context]
    if values:
        first = hints.get(values[0].name)
        if isinstance(first, type) and issubclass(first, Event | JobPayload):
            contract: type[Event] | type[JobPayload] = first
            if len(values) > 1:
                mistakes.append(f"takes {values[1].name!r} beside its payload: put it into it")
            if issubclass(first, Event) and not first.__event_type__:
                mistakes.append(
                    f'{first.__name__} has no type: class {first.__name__}(Event, type="...")'
                )
            return contract, context, False
    fields: dict[str, Any] = {
        p.name: (
            hints.get(p.name, Any),
            ... if p.default is inspect.Parameter.empty else p.default,
        )
        for p in values
    }
    if key is not None and key not in fields:
        mistakes.append(f"key={key!r} is not one of its parameters ({', '.join(fields)})")
        key = None
    model: type[JobPayload] = create_model(
        fn.__name__,
        __base__=JobPayload,
        __module__=fn.__module__,
        __cls_kwargs__={
            "name": name or f"{fn.__module__}.{fn.__qualname__}",
            "queue": queue or "default",
            "key": key,
        },
        **fields,
    )
    return model, context, True


def _enqueuer(payload_type: Any) -> Callable[..., Any]:
    async def enqueue(payload: Any = None, /, **fields: Any) -> Any:
        """Enqueue this job through the client that is open here."""
        from streams.client import current

        return await current().enqueue(payload_type(**fields) if payload is None else payload)

    return enqueue
