"""`@job`: turns a function into a handler, and leaves it a function."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from pydantic import ValidationError

from streams.contracts import Event, JobPayload
from streams.cron.schedule import Schedule
from streams.cron.tick import Tick, misfit
from streams.durations import Duration
from streams.errors import PayloadInvalid, StreamsError
from streams.jobs.after_dead import AfterDead, DeadJob, after_dead_mistakes
from streams.jobs.batching import Batch, batch_mistakes
from streams.jobs.breaker import Breaker, breaker_mistakes
from streams.jobs.definition import JobDefinition, QueueDefaults, Stated
from streams.jobs.middleware import Middleware, middleware_mistakes
from streams.jobs.option_names import closest, meant_at_definition
from streams.jobs.placement import cancel_on_mistakes, concurrency_mistakes, place_of
from streams.jobs.rate import RateLimit, rate_mistakes
from streams.jobs.retry import Retry
from streams.jobs.scheduled import cron_mistakes, unique_of_ticks
from streams.jobs.signature import Signature, read_signature
from streams.jobs.single import Debounce, Unique
from streams.jobs.single_options import single_rule
from streams.sensitive import mistake_in

if TYPE_CHECKING:
    from streams.client import Handle

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Handler(Protocol[P, R]):
    """A function that `@job` was put on: it is called as before, and makes jobs of its own.

    `payload` and `enqueue` are those of a handler of a payload or of plain parameters; what an
    event starts has neither.
    """

    __name__: str
    __qualname__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function itself, as a unit test calls it."""
        ...

    def payload(self, payload: JobPayload | None = None, /, **fields: Any) -> JobPayload:
        """This job's payload, from its fields: for `enqueue` of any client, with its options.

        Raises:
            PayloadInvalid: the fields are not those of the payload.
        """
        ...

    def enqueue(
        self, payload: JobPayload | None = None, /, **fields: Any
    ) -> Coroutine[Any, Any, Handle]:
        """Enqueue this job through the client that is open here; to be awaited.

        Raises:
            PayloadInvalid: the fields are not those of the payload.
            StreamsError: no client is open here, or there is no event loop to open one in.
        """
        ...


class Decorate(Protocol):
    """`@job(...)` before it has its function."""

    def __call__(self, handler: Callable[P, R], /) -> Handler[P, R]:
        """Make it a handler."""
        ...


@overload
def job(handler: Callable[P, R], /) -> Handler[P, R]: ...
@overload
def job(
    *,
    name: str = "",
    queue: str = "",
    retry: Retry | None = None,
    timeout: Duration | None = None,
    expires: Duration | None = None,
    unique_for: Duration | None = None,
    runs_in: Literal["loop", "thread", "process"] | None = None,
    ordering: Literal["strict", "none"] | None = None,
    on_dead: Literal["release", "halt"] = "release",
    concurrency: int | None = None,
    cluster_concurrency: int | None = None,
    key_concurrency: int | None = None,
    rate_limit: RateLimit | None = None,
    breaker: Breaker | None = None,
    batch: Batch | None = None,
    fair_by: str | None = None,
    cancel_on: type[Event] | None = None,
    throttle: Duration | None = None,
    debounce: Duration | Debounce | None = None,
    unique: Unique | None = None,
    cron: Schedule | None = None,
    after_dead: AfterDead | None = None,
    ledger: bool = True,
    middleware: Sequence[Middleware] = (),
    key: str | None = None,
) -> Decorate: ...
def job(
    handler: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    queue: str = "",
    retry: Retry | None = None,
    timeout: Duration | None = None,
    expires: Duration | None = None,
    unique_for: Duration | None = None,
    runs_in: Literal["loop", "thread", "process"] | None = None,
    ordering: Literal["strict", "none"] | None = None,
    on_dead: Literal["release", "halt"] = "release",
    concurrency: int | None = None,
    cluster_concurrency: int | None = None,
    key_concurrency: int | None = None,
    rate_limit: RateLimit | None = None,
    breaker: Breaker | None = None,
    batch: Batch | None = None,
    fair_by: str | None = None,
    cancel_on: type[Event] | None = None,
    throttle: Duration | None = None,
    debounce: Duration | Debounce | None = None,
    unique: Unique | None = None,
    cron: Schedule | None = None,
    after_dead: AfterDead | None = None,
    ledger: bool = True,
    middleware: Sequence[Middleware] = (),
    key: str | None = None,
    **unknown: Any,
) -> Any:
    """Make a function the handler of an event, a payload, or its own parameters.

    What does not fit is told when a worker starts, for all handlers at once. Options that are
    left out are the queue's, else the engine's.

    Args:
        name: of the job; a payload's contract has it already. Default: module and function.
        queue: of an event's subscriber or of plain parameters; a payload's contract has it.
        retry: attempts (3), backoff and which errors are permanent.
        timeout: of one attempt; 5 minutes by default, and never without an end.
        expires: a job that waits longer than this is ended instead of started.
        unique_for: how long after its end the same id is refused; 24 hours by default.
        runs_in: `process` for a function that is bound by the CPU and must be killable; else an
            `async def` runs on the loop, and a `def` in a thread.
        ordering: `strict` (the default with a key) or `none`.
        on_dead: what a dead job means to its key: `release` lets the next one run, `halt` makes
            the key wait until the dead job was replayed or discarded.
        concurrency: how many of its jobs run at a time in one worker; by default as many as there
            are slots.
        cluster_concurrency: how many of its jobs run at a time in all workers together.
        key_concurrency: how many jobs of one key run at a time, in the whole cluster; with
            `ordering="none"`, since jobs in order run one at a time.
        rate_limit: how many of its jobs start in any window of time, in the whole cluster, as in
            `RateLimit(100, per="1m")`; by default as many as can.
        breaker: when too many attempts fail, its jobs wait for a while, and use up no attempts, as
            in `Breaker(0.5, of=20, pause="30s")`; off by default.
        batch: the handler gets a list of payloads, as in `Batch(100, wait="1s")`; it raises
            `ItemsFailed` for some of them, and may return a list of results.
        fair_by: a field of the payload, as in "tenant_id": jobs of each of its values have their
            turn at this worker's slots, however many another one has.
        cancel_on: an event that cancels the jobs of its key that were sent before it, whether they
            wait or run.
        throttle: of each key the first job runs, and those that are sent within this time of it
            are discarded.
        debounce: of a burst for a key the last job runs, once no other has come for this time; the
            others are discarded. `Debounce("5s", at_most="1m")` bounds how long that may take.
        unique: while a job waits or runs, others like it are discarded, as in `Unique(by="key")`.
        cron: when it is enqueued by the clock, as in `Cron("0 7 * * mon-fri", tz="Europe/Berlin")`
            or `Every("10m")`; its handler takes a `Tick`.
        after_dead: what becomes of its dead jobs by themselves, as in
            `AfterDead(run=refund, replay_after="1h", discard_after="30d")`.
        ledger: False: a job that completes leaves no record, for idempotent work in bulk without
            an order. It has no status and no result, a copy of it runs again, and so does what
            completed behind a running job when its partition moves to another worker.
        middleware: what is called around each attempt, within the worker's own.
        key: the ordering key among plain parameters.

    Raises:
        TypeError: what is decorated is no function, or an option is unknown.
    """
    for option in unknown:
        raise TypeError(_unknown_option(option))
    # Types that were made inside a function are found there only.
    local_names = sys._getframe(1).f_locals
    options = QueueDefaults(retry=retry, timeout=timeout, expires=expires, unique_for=unique_for)

    def decorate(fn: Callable[..., Any]) -> Any:
        code = getattr(inspect.unwrap(fn), "__code__", None)
        if code is None or not inspect.isfunction(fn):
            raise TypeError(f"@job decorates functions, not {fn!r}: write @job, or @job(name=...)")
        mistakes: list[str] = []
        told = mistakes if not _is_method(fn) else []  # of a method there is no more to say
        default_name = name or f"{fn.__module__}.{fn.__qualname__}"
        signature = read_signature(
            fn,
            local_names,
            name=default_name,
            queue=queue or "default",
            key=key,
            mistakes=told,
            is_batched=batch is not None,
            cron=cron,
        )
        if _is_method(fn):
            mistakes.append(
                "it is a method, and nobody has an instance to call it on: make it a function of "
                "the module"
            )
        kind = signature.payload_type
        mistakes += _contradictions(fn, signature, name=name, queue=queue, ordering=ordering)
        runs = place_of(fn, runs_in, told)
        if runs == "process" and signature.resources:
            mistakes.append(
                f"{next(iter(signature.resources))!r} is a resource of the worker, which another "
                'process does not have: open it in the handler, or leave runs_in="process" out'
            )
        if on_dead == "halt" and (kind.__key__ is None or ordering == "none"):
            mistakes.append(
                'on_dead="halt" needs a key and ordering="strict": there is nothing else to halt'
            )
        if not ledger and kind.__key__ is not None and ordering != "none":
            mistakes.append(
                'ledger=False needs ordering="none": what has completed behind a running job runs '
                "again when a worker ends, and would run behind later jobs of its key"
            )
        if on_dead not in ("release", "halt"):
            mistakes.append(f'on_dead={on_dead!r}: write "release" or "halt"')
        mistakes += concurrency_mistakes(
            concurrency,
            cluster_concurrency,
            key_concurrency,
            is_keyed=kind.__key__ is not None,
            ordering=ordering,
        )
        if rate_limit is not None:
            mistakes += rate_mistakes(
                rate_limit, is_keyed=kind.__key__ is not None, has_ledger=ledger
            )
        if fair_by is not None and fair_by not in kind.model_fields:
            known = ", ".join(kind.model_fields) or "none"
            mistakes.append(f"fair_by={fair_by!r}: {kind.__name__} has no such field ({known})")
        if breaker is not None:
            mistakes += breaker_mistakes(breaker)
        if batch is not None:
            mistakes += batch_mistakes(
                batch,
                is_keyed=kind.__key__ is not None,
                runs_in=runs,
                fair_by=fair_by,
                key_concurrency=key_concurrency,
                is_rated_by_key=isinstance(rate_limit, RateLimit) and rate_limit.by == "key",
            )
        if cancel_on is not None:
            mistakes += cancel_on_mistakes(cancel_on, kind)
        if cron is not None:
            mistakes += cron_mistakes(
                cron,
                kind,
                others={
                    "throttle": throttle,
                    "debounce": debounce,
                    "unique": unique,
                    "batch": batch,
                },
                ledger=ledger,
            )
        if after_dead is not None:
            mistakes += after_dead_mistakes(after_dead, has_breaker=breaker is not None, kind=kind)
        single = single_rule(
            kind,
            mistakes,
            is_plain=signature.plain,
            ledger=ledger,
            throttle=throttle,
            debounce=debounce,
            unique=unique_of_ticks(cron, kind) or unique,
        )
        mistakes += middleware_mistakes(middleware)
        is_event = issubclass(kind, Event)
        definition = JobDefinition(
            name=(kind.__job_name__ if issubclass(kind, JobPayload) else "") or default_name,
            queue=kind.__queue__ if issubclass(kind, JobPayload) else queue or "default",
            handler=fn,
            payload_type=kind,
            trigger="event" if is_event else "payload",
            runs_in=runs,
            ctx_parameter=signature.ctx_parameter,
            resources=signature.resources,
            middleware=tuple(middleware),
            plain=signature.plain,
            ordering=ordering or ("none" if kind.__key__ is None else "strict"),
            on_dead=on_dead,
            concurrency=concurrency,
            cluster_concurrency=cluster_concurrency,
            key_concurrency=key_concurrency,
            rate_limit=rate_limit,
            breaker=breaker,
            batch=batch,
            fair_by=fair_by,
            cancel_on=cancel_on,
            single=single,
            cron=cron,
            after_dead=after_dead,
            ledger=bool(ledger),
            file=code.co_filename,
            line=code.co_firstlineno,
            stated=Stated.check(options, mistakes),
            mistakes=tuple(mistakes),
        ).resolved(Stated())
        fn.__job_definition__ = definition  # type: ignore[attr-defined]
        if issubclass(kind, JobPayload):
            fn.payload = _payloads(kind)  # type: ignore[attr-defined]
            fn.enqueue = _enqueuer(kind, fn.__name__)  # type: ignore[attr-defined]
        return fn

    return decorate if handler is None else decorate(handler)


def _is_method(fn: Callable[..., Any]) -> bool:
    around = fn.__qualname__.rpartition(".")[0]
    return bool(around) and not around.endswith("<locals>")


def _contradictions(
    fn: Callable[..., Any], signature: Signature, *, name: str, queue: str, ordering: str | None
) -> list[str]:
    mistakes = []
    kind = signature.payload_type
    is_ours = issubclass(kind, Tick | DeadJob)  # whose name and queue are the handler's
    if issubclass(kind, JobPayload) and not signature.plain and not is_ours:
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


def _unknown_option(option: str) -> str:
    if (meant := meant_at_definition(option)) is not None:
        return f"@job({option}=...): {meant}"
    near = closest(option, _OPTIONS)
    known = f"did you mean {near}=?" if near else f"options are {', '.join(_OPTIONS)}"
    return f"@job({option}=...): there is no such option; {known}"


_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(job).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
)


def _payloads(payload_type: type[JobPayload]) -> Callable[..., JobPayload]:
    def payload(payload: JobPayload | None = None, /, **fields: Any) -> JobPayload:
        return _payload(payload_type, payload, fields)

    payload.__doc__ = Handler.payload.__doc__
    return payload


def _enqueuer(payload_type: type[JobPayload], name: str) -> Callable[..., Any]:
    def enqueue(payload: JobPayload | None = None, /, **fields: Any) -> Coroutine[Any, Any, Handle]:
        from streams.client import current

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise StreamsError(
                f"{name}.enqueue(...) is to be awaited, and no event loop runs here: give "
                f"{name}.payload(...) to the enqueue of a client from JobClient.sync(...)"
            ) from None
        return current().enqueue(_payload(payload_type, payload, fields))

    enqueue.__doc__ = Handler.enqueue.__doc__
    return enqueue


def _payload(
    payload_type: type[JobPayload], payload: JobPayload | None, fields: dict[str, Any]
) -> JobPayload:
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
        field, why = mistake_in(payload_type, error)
        told = f"{kind}.{field}: {why}"
        if issubclass(payload_type, Tick):
            told = misfit(payload_type, field, why)
        raise PayloadInvalid(told, field=field) from error
