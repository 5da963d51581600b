"""What a handler may know of its job, and what it may ask for."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from streams.contracts import Event, JobPayload
from streams.jobs.identity import JobKey
from streams.jobs.option_names import OF_A_JOB, refuse_options

Send = Callable[["JobContext", Event | JobPayload, dict[str, Any]], Awaitable[str]]
Wait = Callable[[Coroutine[Any, Any, Any]], Any]


class JobContext:
    """One attempt, seen from its handler. Times are milliseconds since the epoch."""

    _interrupted: str | None = None  # why the attempt is over, though the handler runs

    def __init__(
        self,
        *,
        id: str,
        name: str,
        attempt: int,
        max_attempts: int,
        key: str | None,
        enqueued_at: int,
        due: int | None = None,
        started: int,
        deadline: int,
        generation: int = 0,
        traceparent: str | None = None,
        send: Send | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.key = key
        self.enqueued_at = enqueued_at
        self.due = enqueued_at if due is None else due  # when it could first start
        self.started = started
        self.deadline = deadline
        self.generation = generation
        self.traceparent = traceparent
        self._send = send
        self._sent: dict[tuple[str, bytes], set[int]] = {}

    @property
    def log(self) -> logging.Logger:
        """A logger for this job's handler."""
        return logging.getLogger(f"streams.handlers.{self.name}")

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this job, replays included; hand it to what you call.

        The job's name and a digest of its identity, which no other job has.
        """
        identity = JobKey(name=self.name, ordering_key=self.key, id=self.id).encode()
        return f"{self.name}:{hashlib.sha256(identity).hexdigest()[:32]}"

    def raise_if_cancelled(self) -> None:
        """Stop here if the attempt is over: cancelled, past its timeout, or another worker's.

        A coroutine is interrupted at its next `await` anyhow; a function in a thread sees it here
        and in each call of its context. A process is ended without being asked.

        Raises:
            asyncio.CancelledError: it is; `except Exception` does not catch that.
        """
        if self._interrupted is not None:
            raise asyncio.CancelledError(self._interrupted)

    def interrupt(self, why: str) -> None:
        """The attempt is over; for the engine, which says so to the handler."""
        self._interrupted = why

    async def enqueue(self, payload: JobPayload, **options: Any) -> str:
        """Enqueue a child job; it is durable on return, and a repeated run finds it again.

        Returns:
            The child's id. Options: `id`, `delay` (a duration).

        Raises:
            TypeError: it is no payload, or an option is unknown.
        """
        if not isinstance(payload, JobPayload):
            raise TypeError(_misfit("ctx.enqueue", payload, "a JobPayload", "ctx.emit(...)"))
        _check_options("ctx.enqueue", options, ("id", "delay"))
        return await self._emit(payload, options)

    async def emit(self, event: Event, **options: Any) -> str:
        """Emit an event; it is durable on return. Returns the event's id. Option: `id`.

        Raises:
            TypeError: it is no event, or an option is unknown.
        """
        if not isinstance(event, Event):
            raise TypeError(_misfit("ctx.emit", event, "an Event", "ctx.enqueue(...)"))
        _check_options("ctx.emit", options, ("id",))
        return await self._emit(event, options)

    def plain(self) -> dict[str, Any]:
        """What it knows, as values that JSON can carry: what another process makes its own of."""
        return {
            "id": self.id,
            "name": self.name,
            "attempt": self.attempt,
            "max_attempts": self.max_attempts,
            "key": self.key,
            "enqueued_at": self.enqueued_at,
            "due": self.due,
            "started": self.started,
            "deadline": self.deadline,
            "generation": self.generation,
            "traceparent": self.traceparent,
        }

    def occurrence(self, name: str, content: bytes) -> int:
        """Which of this run's equal messages the next one is, from 0; keeps them apart."""
        taken = self._sent.setdefault((name, content), set())
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        taken.add(number)
        return number

    def forget_occurrence(self, name: str, content: bytes, number: int) -> None:
        """It is not certain to have been sent: sending it again is to be the same again."""
        self._sent[(name, content)].discard(number)

    async def _emit(self, message: Event | JobPayload, options: dict[str, Any]) -> str:
        if self._send is None:
            raise RuntimeError("this context was made by hand and is connected to no log")
        return await self._send(self, message, options)

    if not TYPE_CHECKING:  # a type checker would take it for having every attribute

        def __getattr__(self, name: str) -> Any:
            # Asked for only where there is no such attribute.
            if name in _NOT_YET:
                raise AttributeError(f"ctx.{name} is not available yet")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


_NOT_YET: Final = frozenset({"progress", "checkpoint", "checkpointed"})


class SyncJobContext(JobContext):
    """The context of a function, in a thread or a process: its calls return when they are done.

    `child = ctx.enqueue(...)`, without `await`. Each call raises `asyncio.CancelledError` once
    the attempt is over.
    """

    def __init__(self, *, wait: Wait, **known: Any) -> None:
        super().__init__(**known)
        self._wait = wait

    if TYPE_CHECKING:

        def enqueue(self, payload: JobPayload, **options: Any) -> str:  # type: ignore[override]
            """See `JobContext.enqueue`."""
            raise NotImplementedError

        def emit(self, event: Event, **options: Any) -> str:  # type: ignore[override]
            """See `JobContext.emit`."""
            raise NotImplementedError


def _until_done(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: SyncJobContext, *args: Any, **options: Any) -> Any:
        self.raise_if_cancelled()
        return self._wait(method(self, *args, **options))

    return call


for _name, _method in list(vars(JobContext).items()):
    if inspect.iscoroutinefunction(_method) and not _name.startswith("_"):
        setattr(SyncJobContext, _name, _until_done(_method))


def _misfit(call: str, given: object, wanted: str, other: str) -> str:
    kind = given.__name__ if isinstance(given, type) else type(given).__name__
    if isinstance(given, type):
        return f"{call}(...) takes an instance: {kind}(...), not the class itself"
    if isinstance(given, Event | JobPayload):
        return f"{call}(...) takes {wanted}, and {kind} is none: use {other}"
    return f"{call}(...) takes {wanted}, not {kind}: declare one (see streams.contracts)"


def _check_options(call: str, options: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in options:
        if name in known:
            continue
        if "delay" in known and name in OF_A_JOB:
            raise TypeError(f"{call}({name}=...): not available in a handler yet")
        refuse_options([name], call, known)
        raise TypeError(f"{call}({name}=...): options here are {', '.join(known)}")
