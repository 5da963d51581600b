"""Runs handlers: coroutines on the loop and functions in threads, each within its timeout."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from streams.jobs.context import JobContext, Send
from streams.jobs.lifecycle import Happening, LifecycleEvent, Listener
from streams.jobs.outcome import Cancelled, Completed, Dead, Expired, Failure, Outcome
from streams.jobs.retry import outcome_of_error
from streams.worker.attempt import Attempt
from streams.worker.ports import Alarm, Clock

Done = Callable[[Attempt, Outcome], None]

RESULT_MAX = 64 * 1024  # bytes of JSON kept with a job

_any = TypeAdapter(Any)


@dataclass(eq=False, slots=True)
class _Running:
    done: Done
    task: asyncio.Task[None] | None = None
    alarm: Alarm | None = None
    timed_out: bool = False
    silent: bool = False


@dataclass(slots=True)
class _Slots:
    free: int
    waiting: deque[Attempt] = field(default_factory=deque)


class LoopExecutor:
    """At most `concurrency` coroutines and `threads` functions at a time, first come first served.

    A function that outlives its timeout can't be stopped: its attempt ends, and its thread is
    replaced, so that it never holds a slot.
    """

    def __init__(
        self,
        clock: Clock,
        notify: Listener,
        *,
        concurrency: int = 100,
        threads: int = 5,
        send: Send | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._notify = notify
        self._send = send
        self._random = (rng or random.Random()).random
        self._slots = {"loop": _Slots(concurrency), "thread": _Slots(threads)}
        self._accepting = True
        self.running = 0  # attempts that hold a slot
        self._idle = asyncio.Event()

    def close(self) -> None:
        """Start nothing more; what waits for a slot stays unstarted."""
        self._accepting = False

    async def wait_until_idle(self) -> None:
        """Return once no attempt runs."""
        while self.running:
            self._idle.clear()
            await self._idle.wait()

    def submit(self, attempt: Attempt, done: Done) -> None:
        """Run the attempt as soon as there is a slot."""
        attempt.handle = _Running(done)
        slots = self._slots[attempt.definition.runs_in]
        if slots.free and self._accepting:
            self._start(attempt, slots)
        else:
            slots.waiting.append(attempt)

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """Interrupt the attempt, or take it from the queue."""
        running: _Running = attempt.handle
        if running.task is not None:
            running.task.cancel()
        else:
            self._slots[attempt.definition.runs_in].waiting.remove(attempt)
            running.done(attempt, Cancelled(reason=reason))

    def abandon(self, attempt: Attempt) -> None:
        """Interrupt the attempt and tell nobody."""
        running: _Running | None = attempt.handle
        if running is None:
            return
        running.silent = True
        if running.task is not None:
            running.task.cancel()
        elif attempt in (waiting := self._slots[attempt.definition.runs_in].waiting):
            waiting.remove(attempt)

    def _start(self, attempt: Attempt, slots: _Slots) -> None:
        slots.free -= 1
        self.running += 1
        running: _Running = attempt.handle
        running.task = asyncio.create_task(self._run(attempt, running, slots))

    async def _run(self, attempt: Attempt, running: _Running, slots: _Slots) -> None:
        outcome: Outcome
        try:
            outcome = await self._outcome(attempt, running)
        except asyncio.CancelledError as error:
            if running.timed_out:
                outcome = self._failed(attempt, TimeoutError(_overran(attempt)))
            elif attempt.cancelled is not None or running.silent:
                outcome = Cancelled(reason=attempt.cancelled or "")
            else:  # the handler cancelled itself
                outcome = self._failed(attempt, error)
        finally:
            if running.alarm is not None:
                running.alarm.cancel()
            slots.free += 1
            self.running -= 1
            while slots.free and slots.waiting and self._accepting:
                self._start(slots.waiting.popleft(), slots)
        if not running.silent:
            running.done(attempt, outcome)
        if not self.running:
            self._idle.set()

    async def _outcome(self, attempt: Attempt, running: _Running) -> Outcome:
        now = self._clock.now()
        if attempt.cancelled is not None:
            return Cancelled(reason=attempt.cancelled)
        if attempt.expires is not None and attempt.expires <= now:
            return Expired()
        attempt.started = now
        try:
            payload = attempt.definition.payload_type.model_validate_json(attempt.envelope.payload)
        except ValidationError as error:
            return Dead(_misfit(error))
        deadline = now + attempt.timeout_ms
        context = JobContext(
            id=attempt.job.id,
            name=attempt.job.name,
            attempt=attempt.number,
            max_attempts=attempt.retry.attempts,
            key=attempt.job.ordering_key,
            enqueued_at=attempt.envelope.time,
            started=now,
            deadline=deadline,
            generation=attempt.generation,
            traceparent=attempt.envelope.traceparent,
            send=self._send,
        )
        self._notify(
            LifecycleEvent(
                happening=Happening.STARTED,
                at=now,
                queue=attempt.definition.queue,
                name=attempt.job.name,
                id=attempt.job.id,
                key=attempt.job.ordering_key,
                attempt=attempt.number,
                waited_ms=max(0, now - (attempt.due or now)),
                traceparent=attempt.envelope.traceparent,
            )
        )
        running.alarm = self._clock.call_at(deadline, lambda: _time_out(running))
        try:
            if attempt.definition.runs_in == "thread":
                result = await _in_thread(attempt, payload, context)
            else:
                result = await attempt.definition.call(payload, context)
            return _completed(result)
        except Exception as error:
            return self._failed(attempt, error)

    def _failed(self, attempt: Attempt, error: BaseException) -> Outcome:
        return outcome_of_error(
            error,
            attempt=attempt.number,
            max_attempts=attempt.retry.attempts,
            retry=attempt.retry,
            random=self._random,
        )


def _time_out(running: _Running) -> None:
    running.timed_out = True
    if running.task is not None:
        running.task.cancel()


def _overran(attempt: Attempt) -> str:
    return f"the attempt took longer than its timeout of {attempt.timeout_ms} ms"


async def _in_thread(attempt: Attempt, payload: Any, context: JobContext) -> Any:
    # A pool of one for each attempt: cancelling abandons the thread without taking a slot of the
    # next attempt; the number of attempts side by side is bounded by the slots.
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=attempt.job.name)
    try:
        call = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(
            pool, call, attempt.definition.call, payload, context
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _completed(result: Any) -> Outcome:
    if result is None:
        return Completed(None)
    dumped = _any.dump_json(result)
    if len(dumped) > RESULT_MAX:
        raise ValueError(
            f"the result has {len(dumped)} bytes, the limit is {RESULT_MAX}: "
            "store it elsewhere and return a reference"
        )
    return Completed(dumped)


def _misfit(error: ValidationError) -> Failure:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "payload"
    return Failure(type="PayloadInvalid", message=f"{field}: {first['msg']}", trace="")
