"""Runs many jobs in one call of their handler, and says what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from streams.contracts import Event, JobPayload
from streams.errors import Discard, ItemsFailed, PermanentError, RetryAfter, Snooze
from streams.jobs.batching import BatchContext
from streams.jobs.context import JobContext
from streams.jobs.middleware import Middleware
from streams.jobs.outcome import Cancelled, Completed, Dead, Expired, Held, Opening, Outcome
from streams.worker.around import enter_all, leave_all, tell_outcome
from streams.worker.attempt import Attempt
from streams.worker.circuit import failed
from streams.worker.gathering import Gathering, Group
from streams.worker.ports import Clock
from streams.worker.results import Results, dumped, misfit

CUT = "some of its jobs are another worker's by now"


class Running(Protocol):
    """What the executor knows of an attempt, as far as it is needed here."""

    done: Callable[[Attempt, Outcome], None]
    over: bool
    silent: bool
    has_slot: bool
    attempt: Attempt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What of the executor a call needs."""

    clock: Clock
    results: Results
    context_of: Callable[[Attempt, int, int], JobContext]  # started, deadline
    tell_started: Callable[[Attempt, int], None]
    watch: Callable[[Attempt, BatchContext, int], None]  # a ticket, until its deadline
    call: Callable[[Attempt, list[Any], BatchContext], Awaitable[Any]]
    failed: Callable[[Attempt, BaseException], Outcome]
    interrupt: Callable[[Attempt], None]  # a ticket that runs
    take_from_line: Callable[[Attempt], None]  # a ticket that does not
    line_up: Callable[[Attempt], None]


@dataclass(slots=True, eq=False)
class _Item:
    """A job that is in the call."""

    attempt: Attempt
    payload: Event | JobPayload
    context: JobContext
    entered: list[Middleware]


class BatchCalls:
    """The jobs of one worker that run in calls with others."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gathering = Gathering(engine.clock, engine.line_up)
        self.add = self._gathering.add
        self.joins = self._gathering.joins
        self.told = self._gathering.told
        self.close = self._gathering.close  # nobody joins any more

    async def run(self, ticket: Attempt) -> Outcome:
        """Call the handler for all that may run; what became of each is in its group.

        The outcome is that of the call: what limits and breakers go by.
        """
        group = _group_of(ticket)
        group.has_started = True
        now = self._engine.clock.now()
        ticket.started = now
        deadline = now + ticket.timeout_ms
        items = [
            item
            for member in group.members
            if (item := self._item_of(member, group, now, deadline)) is not None
        ]
        if not items:
            return outcome_of_call([])
        context = BatchContext(
            name=ticket.job.name,
            jobs=[item.context for item in items],
            started=now,
            deadline=deadline,
        )
        group.contexts = {item.attempt.state_key: item.context for item in items}
        for each in group.contexts.values():
            each.find_secrets = group.find_secrets
        self._engine.watch(ticket, context, deadline)
        error: BaseException | None = None
        try:
            items = await self._enter(items, group)
            if items:
                context.jobs = tuple(item.context for item in items)
                await self._call(ticket, items, context)
        except BaseException as raised:
            error = raised
            raise
        finally:
            for item in reversed(items):
                failed = group.raised.get(item.attempt.state_key, error)
                await leave_all(item.entered, item.context, item.payload, failed)
        return outcome_of_call([group.outcomes.get(each.attempt.state_key) for each in items])

    def _item_of(self, member: Attempt, group: Group, now: int, deadline: int) -> _Item | None:
        if member.expires is not None and member.expires <= now:
            group.outcomes[member.state_key] = Expired()
            return None
        member.started = now
        try:
            kind = member.definition.payload_type
            payload = kind.model_validate_json(member.envelope.payload)
        except ValidationError as error:
            failure = misfit(member.definition.payload_type, error)
            group.outcomes[member.state_key] = Dead(failure, is_permanent=True)
            return None
        self._engine.tell_started(member, now)
        return _Item(member, payload, self._engine.context_of(member, now, deadline), [])

    async def _enter(self, items: list[_Item], group: Group) -> list[_Item]:
        """Let each middleware begin for each job; it may decide instead of the handler."""
        entered = []
        for item in items:
            try:
                middleware = item.attempt.definition.middleware
                await enter_all(middleware, item.context, item.payload, item.entered)
            except (Discard, PermanentError, RetryAfter, Snooze) as error:
                await leave_all(item.entered, item.context, item.payload, error)
                self._fail(item, error, group)
            else:
                entered.append(item)
        return entered

    async def _call(self, ticket: Attempt, items: list[_Item], context: BatchContext) -> None:
        group = _group_of(ticket)
        payloads = [item.payload for item in items]
        try:
            returned = await self._engine.call(ticket, payloads, context)
        except ItemsFailed as failed:
            for number in failed.errors:
                if not 0 <= number < len(items):
                    raise ValueError(f"ItemsFailed: there is no job {number} in it") from failed
            for number, error in failed.errors.items():
                self._fail(items[number], error, group)
            returned = None
        if returned is None:
            return
        if not isinstance(returned, list | tuple) or len(returned) != len(items):
            raise TypeError(
                f"a handler of batches returns None, or a list of {len(items)} results, one for "
                f"each job, not {type(returned).__name__}"
            )
        for item, result in zip(items, returned, strict=True):
            try:
                kept = await self._engine.results.keep(item.attempt, dumped(result))
            except (TypeError, ValueError, OSError) as error:
                self._fail(item, error, group)
            else:
                group.outcomes[item.attempt.state_key] = kept

    def _fail(self, item: _Item, error: BaseException, group: Group) -> None:
        group.raised[item.attempt.state_key] = error
        group.outcomes[item.attempt.state_key] = self._engine.failed(item.attempt, error)

    async def tell(self, ticket: Attempt, outcome: Outcome) -> None:
        """Tell middleware what became of each job."""
        group = _group_of(ticket)
        for member in group.members:
            context = group.contexts.get(member.state_key)
            decided = self._outcome_of(member, group, outcome)
            if context is not None and decided is not None:
                await tell_outcome(member.definition.middleware, context, decided)

    def done(self, ticket: Attempt, outcome: Outcome) -> None:
        """The call is over, or a limit holds it: so it is for each of its jobs."""
        group = _group_of(ticket)
        self._gathering.close(group)
        told, again = [], []
        for member in group.members:
            running: Running = member.handle
            decided = self._outcome_of(member, group, outcome)
            if running.silent:
                continue
            if decided is None:
                again.append(member)
            else:
                running.over, running.attempt = True, None
                told.append((running, member, decided))
        for member in group.members:
            member.group = member.held_by = None
        ticket.group = None  # each leads to the other: in a ring they would stay for a long time
        for running, member, decided in told:
            running.done(member, decided)
        if again:
            for member in again:
                member.started = None
            self._gathering.again(again)

    def _outcome_of(self, member: Attempt, group: Group, outcome: Outcome) -> Outcome | None:
        """What became of one job; None: it is to be called again, without some of the others."""
        own = group.outcomes.get(member.state_key)
        if own is None and group.error is not None:
            own = self._engine.failed(member, group.error)
        if isinstance(outcome, Held):
            return outcome if own is None or isinstance(own, Opening) else own
        if own is not None:
            return own
        if not isinstance(outcome, Cancelled):
            return Completed(None)
        return None if member.cancelled is None else Cancelled(member.cancelled)

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """End one job: at once if it waits, else with its call, which others need."""
        group = attempt.group
        running: Running = attempt.handle
        if group is None:
            return
        if not group.has_started:
            self._remove(attempt)
            running.over, running.attempt = True, None
            running.done(attempt, Cancelled(reason))
            return
        if (context := group.contexts.get(attempt.state_key)) is not None:
            context.interrupt(reason)
        if all(member.cancelled is not None for member in group.members):
            group.ticket.cancelled = reason
            self._engine.interrupt(group.ticket)

    def abandon(self, attempt: Attempt) -> None:
        """One is another worker's by now: the call ends, and goes on without it."""
        group = attempt.group
        if group is None:
            return
        if not group.has_started:
            self._remove(attempt)
        else:
            group.ticket.cancelled = CUT
            self._engine.interrupt(group.ticket)

    def _remove(self, attempt: Attempt) -> None:
        emptied = self._gathering.remove(attempt)
        if emptied is None:
            return
        ticket: Attempt = emptied.ticket
        running: Running = ticket.handle
        if not running.has_slot:  # else it is about to run for nobody
            self._engine.take_from_line(ticket)
            ticket.group = None


def _group_of(ticket: Attempt) -> Group:
    assert ticket.group is not None
    return ticket.group


def outcome_of_call(outcomes: Sequence[Outcome | None]) -> Outcome:
    """What a call says to the breaker of its definition, by what became of each job that it had.

    None is a job that completed. One success speaks for what all depend on, else a failure against
    it; a call for nobody says nothing.
    """
    if not outcomes:
        return Expired()
    if any(each is None or isinstance(each, Completed) for each in outcomes):
        return Completed(None)
    decided = [each for each in outcomes if each is not None]
    return next((each for each in decided if failed(each)), decided[0])
