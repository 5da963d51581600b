"""What a handler may know of its job, and what it may ask for."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from streams.contracts import Event, JobPayload
from streams.jobs.as_json import as_json
from streams.jobs.batches import BatchCounts, When, check_batch
from streams.jobs.handler_log import HandlerLog
from streams.jobs.identity import JobKey
from streams.jobs.notes import CHECKPOINT_MAX, Notebook, Says, progress_of
from streams.jobs.option_names import OF_A_JOB, refuse_options


class Send(Protocol):
    """What sends what a handler asks for."""

    async def __call__(
        self, context: JobContext, message: Event | JobPayload, options: dict[str, Any]
    ) -> str:
        """Send a child job, or an event; returns its id."""
        ...

    async def batch(
        self, context: JobContext, children: Sequence[JobPayload], then: JobPayload, when: When
    ) -> str:
        """Send child jobs, and the job that runs once all of them are over; returns its id."""
        ...


Wait = Callable[[Coroutine[Any, Any, Any]], Any]


class JobContext:
    """One attempt, seen from its handler. Times are milliseconds since the epoch.

    `shadow`: it runs an old event to see what today's code makes of it (`streams history replay
    --shadow`). What it enqueues and emits goes nowhere, and nobody keeps its result. Leave out what
    would have an effect elsewhere: a mail, a write into a database.

    `replay`: the name of the replay that runs an old event as a real job again; else None.
    """

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
        batch: BatchCounts | None = None,
        shadow: bool = False,
        replay: str | None = None,
        send: Send | None = None,
        says: Says | None = None,
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
        self.batch = batch  # of a callback: how the jobs are that it waited for
        self.shadow = shadow  # it has no effect, and is to have none elsewhere
        self.replay = replay
        self._send = send
        # Where what the handler says of its job goes; for the engine.
        self.says: Says = Notebook() if says is None else says
        # What is sensitive in the payload is looked for when something is said; for the engine.
        self.find_secrets: Callable[[], frozenset[str]] = frozenset
        self._secrets: frozenset[str] | None = None
        self._log: HandlerLog | None = None
        self._sent: dict[tuple[str, bytes], set[int]] = {}

    @property
    def secrets(self) -> frozenset[str]:
        """What no log, message or trace is to show: the sensitive texts of the payload."""
        if self._secrets is None:
            self._secrets = self.find_secrets()
        return self._secrets

    @property
    def log(self) -> HandlerLog:
        """A logger; its last 50 lines (of 500 characters at most) are kept with the job."""
        if self._log is None:
            self._log = HandlerLog(self.name, self.attempt, self.says.line, self.secrets)
        return self._log

    @property
    def checkpointed(self) -> Any:
        """The value of the last checkpoint, as JSON values, whichever attempt it is of; or None.

        A replayed job has it, too.
        """
        value = self.says.checkpointed
        return None if value is None else orjson.loads(value)

    async def checkpoint(self, value: Any) -> None:
        """Keep where the next attempt is to go on; durable on return.

        The next attempt finds it as `checkpointed`, on whichever worker that runs: after an error,
        a timeout, a deploy, or the end of this process. What is done between two checkpoints may
        be done again. It replaces the last one.

        Args:
            value: whatever JSON can say, at most 64 KiB of it; None is no checkpoint.

        Raises:
            TypeError: a part of it can't be kept as JSON; the message names it.
            ValueError: it is too large.
            asyncio.CancelledError: the attempt is over: cancelled, past its timeout, or its
                partition is another worker's. Then nothing was kept.
        """
        self.raise_if_cancelled()
        kept = as_json(value, "checkpoint")
        if len(kept) > CHECKPOINT_MAX:
            raise ValueError(
                f"the checkpoint has {len(kept)} bytes, the limit is {CHECKPOINT_MAX}: "
                "store it elsewhere and keep a reference"
            )
        await self.says.checkpoint(kept.decode())

    async def progress(self, processed: float, total: float | None = None) -> None:
        """Say how far the job is: `streams jobs show`, `handle.status()` and listeners tell it.

        It returns at once. Listeners are told once a second at most, and state every two seconds
        and at the end of the attempt; so it may be called for each row.

        Raises:
            TypeError, ValueError: `processed` or `total` is no number from 0 on.
        """
        self.raise_if_cancelled()
        self.says.progress(progress_of(processed, total))

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

    async def enqueue_batch(
        self, jobs: Iterable[JobPayload], *, then: JobPayload, when: When = "over"
    ) -> str:
        """Enqueue many child jobs, and one more that runs once all of them are over.

        All of it is durable on return. A repeated run that asks for the same again finds it again.

        Args:
            jobs: the children; at most 1,000,000, and none is fine: then `then` runs at once.
            then: the callback. It sees as `ctx.batch` how many completed, and how many failed.
            when: "over": a child counts however it ended, dead ones included. "completed": all of
                them have to complete; dead ones may be replayed, and if one is cancelled,
                discarded or expired, the callback is cancelled.

        Returns:
            The callback's id.

        Raises:
            TypeError: one of them is no payload.
            ValueError: there are too many, or `when` is neither of the two.
        """
        children = list(jobs)
        for payload in (*children, then):
            if not isinstance(payload, JobPayload):
                wrong = _misfit("ctx.enqueue_batch", payload, "JobPayloads", "ctx.emit(...)")
                raise TypeError(wrong)
        check_batch("ctx.enqueue_batch", len(children), when)
        if self._send is None:
            raise RuntimeError(_UNCONNECTED)
        if not children:
            return await self._send(self, then, {})
        return await self._send.batch(self, children, then, when)

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
            "batch": self.batch and [self.batch.size, self.batch.completed, self.batch.failed],
            "shadow": self.shadow,
            "replay": self.replay,
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
            raise RuntimeError(_UNCONNECTED)
        return await self._send(self, message, options)


_UNCONNECTED: Final = "this context was made by hand and is connected to no log"


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

        def enqueue_batch(  # type: ignore[override]
            self, jobs: Iterable[JobPayload], *, then: JobPayload, when: When = "over"
        ) -> str:
            """See `JobContext.enqueue_batch`."""
            raise NotImplementedError

        def checkpoint(self, value: Any) -> None:  # type: ignore[override]
            """See `JobContext.checkpoint`."""
            raise NotImplementedError

    def progress(  # type: ignore[override]  # nothing to wait for
        self, processed: float, total: float | None = None
    ) -> None:
        """See `JobContext.progress`."""
        self.raise_if_cancelled()
        self.says.progress(progress_of(processed, total))


def _until_done(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: SyncJobContext, *args: Any, **options: Any) -> Any:
        self.raise_if_cancelled()
        return self._wait(method(self, *args, **options))

    return call


for _name, _method in list(vars(JobContext).items()):
    if inspect.iscoroutinefunction(_method) and not _name.startswith("_") and _name != "progress":
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
