"""What a handler declares: its trigger, where it runs, and its policies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any, Literal

from streams.contracts import Event, JobPayload
from streams.cron.schedule import Schedule
from streams.durations import Duration, to_ms
from streams.jobs.after_dead import AfterDead
from streams.jobs.batching import Batch
from streams.jobs.breaker import Breaker
from streams.jobs.middleware import Middleware
from streams.jobs.placement import RunsIn
from streams.jobs.rate import RateLimit
from streams.jobs.resource import Factory, stand_ins
from streams.jobs.retry import Retry, retry_mistakes
from streams.jobs.single import SingleRule

TIMEOUT_MS = 5 * 60 * 1000
UNIQUE_FOR_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDefaults:
    """What the definitions of one queue do unless they say otherwise; None: the engine's own."""

    retry: Retry | None = None
    timeout: Duration | None = None  # of one attempt
    expires: Duration | None = None  # waiting longer, a job is ended instead of started
    unique_for: Duration | None = None  # from a job's end


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Options as somebody wrote them, checked, in milliseconds; None was left open."""

    retry: Retry | None = None
    timeout_ms: int | None = None
    expires_ms: int | None = None
    unique_for_ms: int | None = None

    @classmethod
    def check(cls, options: QueueDefaults, mistakes: list[str]) -> Stated:
        """The options that make sense; `mistakes` gets a line for each that does not."""
        wrong = [] if options.retry is None else retry_mistakes(options.retry)
        mistakes += wrong
        return cls(
            retry=None if wrong else options.retry,
            timeout_ms=_milliseconds("timeout", options.timeout, 1, mistakes),
            expires_ms=_milliseconds("expires", options.expires, 1, mistakes),
            unique_for_ms=_milliseconds("unique_for", options.unique_for, 0, mistakes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefinition:
    """One named job; durations in milliseconds."""

    name: str
    queue: str
    handler: Callable[..., Any]
    payload_type: type[Event] | type[JobPayload]
    trigger: Literal["event", "payload"]
    runs_in: RunsIn
    ctx_parameter: str | None
    resources: Mapping[str, Factory] = field(default_factory=dict, hash=False)  # by parameter
    middleware: tuple[Middleware, ...] = ()  # from the outside in
    plain: bool  # the handler takes the payload's fields, not the payload
    retry: Retry = field(default_factory=Retry)
    timeout_ms: int = TIMEOUT_MS
    expires_ms: int | None = None
    unique_for_ms: int = UNIQUE_FOR_MS
    ordering: Literal["strict", "none"]
    on_dead: Literal["release", "halt"] = "release"
    concurrency: int | None = None  # how many run at a time in one worker; None: as many as can
    cluster_concurrency: int | None = None  # how many in all workers together
    key_concurrency: int | None = None  # how many of one key, if they are in no order
    rate_limit: RateLimit | None = None
    breaker: Breaker | None = None
    batch: Batch | None = None  # the handler takes a list of payloads
    cancel_on: type[Event] | None = None  # ends those of its key
    fair_by: str | None = None  # a field of the payload, whose values have their turns
    single: SingleRule | None = None  # of jobs that are alike only one is to run
    cron: Schedule | None = None  # it is enqueued by the clock
    after_dead: AfterDead | None = None  # what becomes of its dead jobs by themselves
    ledger: bool = True  # False: one that completes leaves no record
    file: str
    line: int
    stated: Stated = Stated()  # by the decorator: what a queue's defaults do not change
    mistakes: tuple[str, ...] = ()  # seen at the decorator, told at start-up

    @property
    def event_type(self) -> str | None:
        """The type of event that it subscribes to."""
        kind = self.payload_type
        return kind.__event_type__ if issubclass(kind, Event) else None

    @property
    def is_limited(self) -> bool:
        """Whether some of its jobs may have to wait though there are slots."""
        return (
            self.concurrency is not None
            or self.cluster_concurrency is not None
            or self.key_concurrency is not None
            or self.rate_limit is not None
            or self.breaker is not None
        )

    @property
    def key_scope(self) -> str:
        """Whose order its keys share: the job's own name, unless the contract says otherwise."""
        return self.payload_type.__key_scope__ or self.name

    @property
    def heeds_shadow(self) -> bool:
        """Whether something of it says `shadow`: its handler, its middleware, or a resource.

        Who calls something that does is not found out.
        """
        if stand_ins([self.handler]):
            return True
        called = (self.handler, *(each.before for each in self.middleware))
        return any(_says(function, "shadow") for function in called)

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}:{self.line}"

    def resolved(self, queue: Stated) -> JobDefinition:
        """Itself with every option decided: by the decorator, else by its queue, else as it is."""
        return replace(
            self,
            retry=_first(self.stated.retry, queue.retry, self.retry),
            timeout_ms=_first(self.stated.timeout_ms, queue.timeout_ms, self.timeout_ms),
            expires_ms=_first(self.stated.expires_ms, queue.expires_ms, self.expires_ms),
            unique_for_ms=_first(
                self.stated.unique_for_ms, queue.unique_for_ms, self.unique_for_ms
            ),
        )

    def ordering_key(self, payload: Event | JobPayload) -> str | None:
        """The ordering key without its scope."""
        return payload.ordering_key()

    def call(
        self,
        payload: Any,
        context: Any,
        opened: Mapping[Factory, Any] | None = None,
    ) -> Any:
        """Call the handler as it wants to be called; a coroutine if it is asynchronous.

        `payload` is a list of them for a handler of batches. `opened` are the worker's resources,
        by what opened them.
        """
        extra = {} if self.ctx_parameter is None else {self.ctx_parameter: context}
        if self.resources and opened is not None:
            extra.update({name: opened[factory] for name, factory in self.resources.items()})
        if self.plain:
            fields = {name: getattr(payload, name) for name in type(payload).model_fields}
            return self.handler(**fields, **extra)
        return self.handler(payload, **extra)


def _says(function: Any, name: str) -> bool:
    waiting = [getattr(inspect.unwrap(function), "__code__", None)]
    while waiting:
        code = waiting.pop()
        if isinstance(code, CodeType):
            if name in code.co_names:
                return True
            waiting += code.co_consts
    return False


def _first(*choices: Any) -> Any:
    return next((choice for choice in choices if choice is not None), None)


def _milliseconds(
    option: str, given: Duration | None, least: int, mistakes: list[str]
) -> int | None:
    if given is None:
        return None
    try:
        ms = to_ms(given)
    except ValueError as error:
        mistakes.append(f"{option}: {error}")
        return None
    if ms < least:
        unlimited = '; no attempt is without an end: write how long one may take, as in "1h"'
        mistakes.append(
            f"{option}={given!r} must be longer than nothing"
            + (unlimited if option == "timeout" else "")
        )
        return None
    return ms
