"""Runs handlers within slots and timeouts: on the loop, in threads, in processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from streams.jobs.batching import BatchContext
from streams.jobs.context import JobContext, Send
from streams.jobs.definition import JobDefinition
from streams.jobs.lifecycle import Happening, LifecycleEvent, Listener
from streams.jobs.outcome import Cancelled, Completed, Dead, Expired, Held, Outcome
from streams.jobs.resource import Factory
from streams.jobs.retry import outcome_of_error
from streams.observe.health import SlotsReading
from streams.worker.around import call_within, tell_outcome
from streams.worker.attempt import Attempt
from streams.worker.batch_calls import BatchCalls
from streams.worker.batch_calls import Engine as BatchEngine
from streams.worker.contexts import Contexts
from streams.worker.deadlines import Deadlines
from streams.worker.gathering import secrets_of_call
from streams.worker.limit import NEAR_MS
from streams.worker.limit_looks import AskCluster, LimitLooks
from streams.worker.limits import LEASE_MS, Limits, Paused
from streams.worker.ports import Alarm, Clock, Hears, Holder, Processes
from streams.worker.results import Results, dumped, misfit
from streams.worker.slots import Slots
from streams.worker.tasks import Tasks
from streams.worker.threads import Threads

Done = Callable[[Attempt, Outcome], None]

PUT_BACK_MS = 1_000  # after which what could not start is looked at again
UNWIND_MS = 5_000  # for a handler that was interrupted; then its slot is taken from it

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Running:
    attempt: Attempt | None  # None: it is over, and holds nothing of it
    done: Done
    hears: Hears | None = None
    has_slot: bool = False
    task: asyncio.Task[None] | None = None  # in which it has begun
    context: JobContext | BatchContext | None = None  # that its handler has
    alarm: Alarm | None = None  # it is interrupted, and loses its slot at that time
    timed_out: bool = False
    silent: bool = False
    over: bool = False  # its outcome was told, or nobody wants to know it


class LoopExecutor:
    """At most `concurrency` coroutines and `threads` functions at a time.

    See `Slots` for whose turn it is.

    Handlers of `processes` run as many as there are processes ready; they are killed when they are
    interrupted. A function in a thread that outlives its timeout can't be stopped, nor can a
    coroutine that swallows its cancellation: the attempt ends without it, and gives its slot to
    others (see `Threads` for how many such functions there may be).
    """

    def __init__(
        self,
        clock: Clock,
        notify: Listener,
        *,
        concurrency: int = 100,
        threads: int = 5,
        abandoned_threads: int = 20,
        weights: Mapping[str, int] | None = None,
        processes: Processes | None = None,
        send: Send | None = None,
        results: Results | None = None,
        opened: Mapping[Factory, Any] | None = None,
        may_start: Callable[[], bool] = lambda: True,
        ask_cluster: AskCluster | None = None,
        near_ms: int = NEAR_MS,
        lease_ms: int = LEASE_MS,
        on_breaker_closed: Callable[[str], None] = lambda name: None,
        rng: random.Random | None = None,
        shadow: bool = False,
    ) -> None:
        self._clock = clock
        self._notify = notify
        self._results = results or Results(None)
        self._opened = opened  # resources
        self._random = (rng or random.Random()).random
        self._limits = Limits(clock.now, clock.elapsed, near_ms, uuid4().hex, lease_ms)
        self._limits.on_breaker_closed = on_breaker_closed
        self._slots = {
            "loop": Slots(concurrency, weights, self._limits),
            "thread": Slots(threads, weights, self._limits),
            "process": Slots(0, weights, self._limits),  # as many as are ready
        }
        self._looks = LimitLooks(
            self._limits,
            self._slots,
            clock,
            ask_cluster=ask_cluster,
            may_start=lambda: self._may_start_now,
            start_next=self._start_next,
            go_on=self.go_on,
        )
        self._contexts = Contexts(send, shadow=shadow)
        self._batches = BatchCalls(
            BatchEngine(
                clock=clock,
                results=self._results,
                context_of=self._contexts.of,
                tell_started=self._tell_started,
                watch=self._watch,
                call=self._returned,
                failed=self._failed,
                interrupt=lambda ticket: self._interrupt(ticket, ticket.handle),
                take_from_line=self._take_from_line,
                line_up=self._line_up_ticket,
            )
        )
        self._processes = processes
        self.threads = Threads(
            partial(self._add_slots, self._slots["thread"]), abandoned_max=abandoned_threads
        )
        self._may_start = may_start
        self._accepting = True
        self._paused = False
        self.running = 0  # attempts that hold a slot
        self._tasks: Tasks[Attempt] = Tasks(self._run, clock.now)
        self._idle = asyncio.Event()
        self._deadlines: Deadlines[_Running] = Deadlines(clock, _is_over, self._time_out)
        if processes is not None:
            processes.attach(partial(self._add_slots, self._slots["process"]))

    def problems(self) -> tuple[str, ...]:
        """What keeps handlers from running, and what to do about it."""
        of_processes = None if self._processes is None else self._processes.problem
        return tuple(p for p in (self.threads.problem, of_processes) if p is not None)

    def start(self) -> None:
        """Make ready what has to be started."""
        if self._processes is not None:
            self._processes.start()

    async def stop(self) -> None:
        """End what was started."""
        if self._processes is not None:
            await self._processes.stop()

    def pause_queues(self, queues: Collection[str], definitions: Collection[Paused] = ()) -> None:
        """Start nothing of these queues and definitions, and of the others what waits."""
        for slots in self._slots.values():
            slots.paused = queues
        self._limits.pause(definitions)
        self.go_on()

    def pause(self) -> None:
        """Start nothing until `resume`: it is open whose jobs those are that wait."""
        self._paused = True

    def resume(self) -> None:
        """What waits is ours again, or was taken away."""
        self._paused = False
        self.go_on()

    def go_on(self) -> None:
        """Start what waits, if this worker may start jobs."""
        for slots in self._slots.values():
            self._start_next(slots)

    def _start_next(self, slots: Slots) -> None:
        self._turn_away(slots)
        asks = bool(self._limits.of_cluster)
        # A worker whose lease is over starts nothing: its jobs may run elsewhere by now.
        while slots.free > 0 and self._may_start_now:
            if asks and not slots.promised:  # what is to use the last answer has begun
                asks = False
                self._looks.ask_first()
                continue
            following = slots.next()
            self._turn_away(slots)
            if following is None:
                break
            self._start(following, slots)
        self._looks.look_soon()

    def told_limits(self, most: int) -> list[dict[str, str | None]]:
        """Up to so many limits for which jobs wait here, each with the name of one of them."""
        return list(islice(self._limits.told(), most))

    def told_calls(self, most: int) -> list[dict[str, str | None]]:
        """Up to so many calls for many jobs that wait for more of them here."""
        return list(islice(self._batches.told(), most))

    def told_full(self) -> list[str]:
        """The kinds of slots for which jobs wait here, and of which none is free."""
        return [
            kind for kind, slots in self._slots.items() if slots.free <= 0 and slots.is_waited_for
        ]

    def told_slots(self) -> list[SlotsReading]:
        """How many slots of each kind there are, and how many are in use."""
        return [
            SlotsReading(kind=kind, slots=slots.size, busy=slots.size - slots.free)
            for kind, slots in self._slots.items()
            if kind != "process" or self._processes is not None
        ]

    def held_near(self) -> Counter[str]:
        """How many jobs wait in memory for a limit, by queue."""
        return self._limits.held_near()

    def _turn_away(self, slots: Slots) -> None:
        turned_away, slots.turned_away = slots.turned_away, []
        for attempt, limit in turned_away:
            running: _Running = attempt.handle
            running.over, running.attempt = True, None
            running.done(attempt, Held(limit.name, limit.reason))

    def hold(
        self,
        limit: str,
        holder: Holder,
        definition: JobDefinition | None,
        key: str | None,
        queue: str,
    ) -> None:
        """See `Executor`."""
        self._limits.hold(limit, holder, definition, key, queue)
        self._looks.look()

    def brought(self, limit: str, holder: Holder, *, has_more: bool) -> None:
        """See `Executor`."""
        self._limits.brought(limit, holder, has_more=has_more)
        self._looks.look()

    def enter(self, attempt: Attempt, starts: Iterable[int], holder: Holder) -> None:
        """See `Executor`."""
        self._limits.enter(attempt, starts, holder)

    def leave(self, attempt: Attempt) -> None:
        """See `Executor`."""
        self._limits.leave(attempt)

    def withdraw(self, holder: Holder) -> None:
        """See `Executor`."""
        self._limits.withdraw(holder)

    def _add_slots(self, slots: Slots, more: int) -> None:
        # Less than none are free while those who hold what is gone have not given it back.
        slots.free += more
        slots.size += more
        if slots.is_waited_for:
            self._start_next(slots)

    @property
    def _may_start_now(self) -> bool:
        return self._accepting and not self._paused and self._may_start()

    def close(self) -> None:
        """Start nothing more; what waits for a slot stays unstarted."""
        self._accepting = False
        self._limits.end()
        self._looks.look()

    async def wait_until_idle(self) -> None:
        """Return once no attempt runs."""
        while self.running:
            self._idle.clear()
            await self._idle.wait()

    def submit(self, attempt: Attempt, done: Done, hears: Hears | None = None) -> None:
        """Run the attempt as soon as there is a slot."""
        attempt.handle = _Running(attempt, done, hears)
        if attempt.definition.batch is not None:
            self._batches.add(attempt)
        else:
            self._line_up(attempt)

    def joins(self, running: Attempt, follower: Attempt) -> bool:
        """See `Executor`."""
        return self._batches.joins(running, follower)

    def _line_up_ticket(self, ticket: Attempt) -> None:
        ticket.handle = _Running(ticket, self._batches.done)
        self._line_up(ticket)

    def _line_up(self, attempt: Attempt) -> None:
        slots = self._slots[attempt.definition.runs_in]
        if slots.may_start(attempt) and self._may_start_now:
            self._start(attempt, slots)
        else:
            slots.wait(attempt)
            self._turn_away(slots)
            self._start_next(slots)

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """Interrupt the attempt, or take it from the queue."""
        running: _Running = attempt.handle
        if running.over:
            return  # its outcome is on its way
        if attempt.definition.batch is not None:
            self._batches.cancel(attempt, reason)
        elif running.has_slot:
            self._interrupt(attempt, running)
        elif self._slots[attempt.definition.runs_in].remove(attempt):
            running.done(attempt, Cancelled(reason=reason))

    def take_back(self, attempt: Attempt) -> bool:
        """Take an attempt that waits from the queue, and tell nobody; False: it is about to run."""
        running: _Running = attempt.handle
        if running.over or running.has_slot or attempt.definition.batch is not None:
            return False
        if not self._slots[attempt.definition.runs_in].remove(attempt):
            return False
        running.silent = running.over = True
        return True

    def abandon(self, attempt: Attempt) -> None:
        """Interrupt the attempt and tell nobody."""
        running: _Running | None = attempt.handle
        if running is None or running.over:
            return
        running.silent = True
        if attempt.definition.batch is not None:
            self._batches.abandon(attempt)
        elif running.has_slot:
            self._interrupt(attempt, running)
        else:
            self._take_from_line(attempt)

    def _take_from_line(self, attempt: Attempt) -> None:
        self._slots[attempt.definition.runs_in].remove(attempt)

    def _start(self, attempt: Attempt, slots: Slots) -> None:
        slots.take(attempt)
        self.running += 1
        running: _Running = attempt.handle
        running.has_slot = True
        if attempt.group is not None:
            self._batches.close(attempt.group)
        self._tasks.start(attempt.job.name, attempt)

    async def _run(self, attempt: Attempt, task: asyncio.Task[None]) -> None:
        running: _Running = attempt.handle
        if attempt.cancelled is None and not running.silent:
            if not self._may_start_now:
                # This process may have been frozen since it was to start, for longer than its
                # lease.
                self._put_back(attempt, running)
                return
            if attempt.start_by is not None and attempt.start_by < self._clock.elapsed():
                self._wait_again(attempt, running)  # its rate would be exceeded
                return
        running.task = task
        outcome: Outcome
        try:
            outcome = await self._outcome(attempt, running)
        except asyncio.CancelledError as error:
            outcome = self._interrupted(attempt, running, error)
        except BaseException as error:  # a panic of native code, say: it must not hold its key
            outcome = self._failed(attempt, error)
        if attempt.definition.middleware and running.context is not None:
            with contextlib.suppress(asyncio.CancelledError):  # it is decided already
                if isinstance(running.context, BatchContext):
                    await self._batches.tell(attempt, outcome)
                else:
                    await tell_outcome(attempt.definition.middleware, running.context, outcome)
        self._end(attempt, running, outcome)

    def _put_back(self, attempt: Attempt, running: _Running) -> None:
        """It waits for its slot again, before all others."""
        slots = self._take_slot_from(attempt, running)
        slots.put_back.append(attempt)
        if len(slots.put_back) == 1:  # also if nobody tells that the lease goes on
            self._clock.call_at(self._clock.now() + PUT_BACK_MS, self.go_on)
        self._note_if_idle()

    def _wait_again(self, attempt: Attempt, running: _Running) -> None:
        slots = self._take_slot_from(attempt, running)
        attempt.start_by = None
        slots.wait(attempt)
        self._start_next(slots)
        self._note_if_idle()

    def _take_slot_from(self, attempt: Attempt, running: _Running) -> Slots:
        """It has not begun, and waits again."""
        running.has_slot = False
        for limit in attempt.passed:
            limit.withdraw(attempt)
        slots = self._slots[attempt.definition.runs_in]
        self._give_back(attempt, slots)
        return slots

    def _interrupt(self, attempt: Attempt, running: _Running) -> None:
        """Cancel a running handler; one that does not unwind loses its slot all the same."""
        if running.task is None or attempt.started is None:
            return  # it looks by itself when it begins
        if running.context is not None:
            running.context.interrupt(_why_interrupted(attempt, running))
        running.task.cancel()
        if running.alarm is not None:
            running.alarm.cancel()
        running.alarm = self._clock.call_at(
            self._clock.now() + UNWIND_MS, lambda: self._give_up(attempt, running)
        )

    def _give_up(self, attempt: Attempt, running: _Running) -> None:
        logger.error(
            "%s %s goes on though it was interrupted %d ms ago; its slot is given to others",
            attempt.job.name,
            attempt.job.id,
            UNWIND_MS,
        )
        self._end(attempt, running, self._interrupted(attempt, running, None))

    def _interrupted(
        self, attempt: Attempt, running: _Running, error: BaseException | None
    ) -> Outcome:
        if running.timed_out:
            error = TimeoutError(overran(attempt))
        elif attempt.cancelled is not None or running.silent:
            return Cancelled(reason=attempt.cancelled or "")
        elif attempt.group is not None and attempt.group.has_cancelled:
            return Cancelled(reason="")  # the context of one of them said so to the handler
        else:  # the handler cancelled itself
            error = error or asyncio.CancelledError()
        if attempt.group is not None:
            attempt.group.error = error
        return self._failed(attempt, error)

    def _end(self, attempt: Attempt, running: _Running, outcome: Outcome) -> None:
        if running.over:
            return
        running.over = True
        if running.alarm is not None:
            running.alarm.cancel()
        # Each of them leads back to the attempt. What has been in hand for a while is seldom looked
        # at by the garbage collector: in a ring it would stay for a very long time.
        running.alarm = running.task = running.attempt = running.context = None
        for limit in attempt.passed:
            outcome = limit.ended(attempt, outcome)
        slots = self._slots[attempt.definition.runs_in]
        self._give_back(attempt, slots)
        self._start_next(slots)
        if not running.silent:
            running.done(attempt, outcome)
        self._note_if_idle()

    def _give_back(self, attempt: Attempt, slots: Slots) -> None:
        slots.give_back(attempt)
        self.running -= 1

    def _note_if_idle(self) -> None:
        if not self.running:
            self._idle.set()
            self._deadlines.clear()

    async def _outcome(self, attempt: Attempt, running: _Running) -> Outcome:
        now = self._clock.now()
        if attempt.cancelled is not None or running.silent:
            return Cancelled(reason=attempt.cancelled or "")
        if attempt.group is not None:
            group = attempt.group
            try:
                return await self._batches.run(attempt)
            except (Exception, SystemExit) as error:
                group.error = error
                return self._failed(attempt, error)
        if attempt.expires is not None and attempt.expires <= now:
            return Expired()
        attempt.started = now
        if attempt.key_rate is not None:
            attempt.key_rate.begin(attempt, now)
        try:
            payload = attempt.definition.payload_type.model_validate_json(attempt.envelope.payload)
        except ValidationError as error:
            return Dead(misfit(attempt.definition.payload_type, error), is_permanent=True)
        deadline = now + attempt.timeout_ms
        context = running.context = self._contexts.of(attempt, now, deadline)
        self._tell_started(attempt, now)
        self._deadlines.add(deadline, running, self.running)
        try:
            if not attempt.definition.middleware:
                return await self._call(attempt, payload, context)
            call = partial(self._call, attempt, payload, context)
            return await call_within(attempt.definition.middleware, context, payload, call)
        except (Exception, SystemExit) as error:  # a handler's sys.exit() ends no worker
            return self._failed(attempt, error)

    def _tell_started(self, attempt: Attempt, now: int) -> None:
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

    def _watch(self, ticket: Attempt, context: BatchContext, deadline: int) -> None:
        running: _Running = ticket.handle
        running.context = context
        self._deadlines.add(deadline, running, self.running)

    async def _call(self, attempt: Attempt, payload: Any, context: JobContext) -> Outcome:
        if attempt.definition.runs_in == "process":
            return await self._in_process(attempt, context)
        return await self._completed(attempt, await self._returned(attempt, payload, context))

    async def _returned(
        self, attempt: Attempt, payload: Any, context: JobContext | BatchContext
    ) -> Any:
        """What the handler returns, on the loop or in a thread."""
        if attempt.definition.runs_in == "loop":
            return await attempt.definition.call(payload, context, self._opened)
        call = partial(attempt.definition.call, payload, context, self._opened)
        told = partial(self._tell_abandoned, attempt)
        return await self.threads.run(attempt.job.name, call, told)

    async def _in_process(self, attempt: Attempt, context: JobContext) -> Outcome:
        assert self._processes is not None  # else there is no slot for it
        outcome = await self._processes.run(attempt, context)
        if isinstance(outcome, Completed):
            return await self._results.keep(attempt, outcome.result)
        return outcome

    async def _completed(self, attempt: Attempt, returned: Any) -> Outcome:
        if returned is None:  # the usual case, and it costs nothing
            return Completed(None)
        return await self._results.keep(attempt, dumped(returned))

    def _tell_abandoned(self, attempt: Attempt) -> None:
        self._notify(
            LifecycleEvent(
                happening=Happening.ABANDONED,
                at=self._clock.now(),
                queue=attempt.definition.queue,
                name=attempt.job.name,
                id=attempt.job.id,
                key=attempt.job.ordering_key,
                attempt=attempt.number,
                error=f"its thread goes on, as {self.threads.abandoned} do whose attempts are over",
                traceparent=attempt.envelope.traceparent,
            )
        )

    def _time_out(self, running: _Running) -> None:
        if running.attempt is not None:
            running.timed_out = True
            self._interrupt(running.attempt, running)

    def _failed(self, attempt: Attempt, error: BaseException) -> Outcome:
        return outcome_of_error(
            error,
            attempt=attempt.number,
            max_attempts=attempt.retry.attempts,
            retry=attempt.retry,
            random=self._random,
            secrets=secrets_of_call(attempt),
        )


def _is_over(running: _Running) -> bool:
    return running.over or running.alarm is not None  # it is interrupted already


def _why_interrupted(attempt: Attempt, running: _Running) -> str:
    if running.timed_out:
        return overran(attempt)
    return attempt.cancelled or "its partition is another worker's, or this worker ends"


def overran(attempt: Attempt) -> str:
    """What is told of an attempt that took too long."""
    return f"the attempt took longer than its timeout of {attempt.timeout_ms} ms"
