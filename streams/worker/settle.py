"""What an outcome does to a job's state: decisions only, written into the turn's settlement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.outcome import (
    Cancelled,
    Completed,
    Dead,
    Discarded,
    Ending,
    Expired,
    Failure,
    Held,
    Opening,
    Outcome,
    Retrying,
    Snoozed,
)
from streams.jobs.states import State
from streams.wire.single import once_over
from streams.wire.state import AttemptRecord, LedgerRecord, OpenEntry
from streams.worker import open_jobs
from streams.worker.admission import new_entry
from streams.worker.attempt import Attempt
from streams.worker.dead_hooks import hook_of
from streams.worker.reports import report_of
from streams.worker.settlement import Place, Settlement
from streams.worker.tables import lane_of

# Made once: `A | B` makes a type each time, which takes longer than to look into it.
_FAILED: Final = (Retrying, Dead, Held)
_USES_NO_ATTEMPT: Final = (Snoozed, Held)
_COMES_DUE: Final = (Retrying, Snoozed)


def conclude(
    attempt: Attempt, outcome: Outcome, settlement: Settlement, place: Place, now: int
) -> None:
    """Settle one attempt; a job that never started has no attempt in its history."""
    failure = outcome.failure if isinstance(outcome, _FAILED) else None
    history = _with_attempt(attempt, outcome, failure, place, now)
    used = attempt.used + (
        attempt.started is not None and not isinstance(outcome, _USES_NO_ATTEMPT)
    )
    match outcome:
        case Completed() if not attempt.definition.ledger:
            settlement.leave(
                attempt.state_key, was_open=attempt.entry is not None, lane=attempt.lane
            )
        case Completed() | Discarded() | Cancelled() | Expired():
            settlement.end(
                attempt.state_key,
                _ledger_after(attempt, outcome, history, used, now),
                was_open=attempt.entry is not None,
                lane=attempt.lane,
            )
        case Retrying(after_ms=after_ms):
            _keep_open(
                attempt,
                settlement,
                history,
                used,
                now,
                state=State.RETRYING,
                due=now + after_ms,
                blocks=attempt.lane is not None,
                failure=failure,
            )
        case Snoozed(for_ms=for_ms, blocks_key=blocks_key):
            _keep_open(
                attempt,
                settlement,
                history,
                used,
                now,
                state=State.SLEEPING,
                due=now + for_ms,
                blocks=blocks_key and attempt.lane is not None,
                failure=None,
            )
        case Held():
            settlement.open(_held_after(attempt, outcome, history, now), attempt.lane)
            was_held = attempt.entry is not None and attempt.entry.held is not None
            if was_held and attempt.started is None:
                _finish(attempt, settlement)
                return  # that it is held is known
        case Dead():
            halts = attempt.definition.on_dead == "halt" and attempt.lane is not None
            dead = _entry_after(
                attempt,
                history,
                used,
                now,
                failure,
                state=State.DEAD,
                due=now,
                blocks=halts,
                letter_pending=True,
                died=now,
            )
            settlement.open(dead, attempt.lane)
            hook = hook_of(dead, attempt.definition, place)
            open_jobs.send_letter(dead, settlement, place, hook)
    if attempt.envelope.child_of is not None and not isinstance(outcome, Opening):
        settlement.reports += report_of(attempt.envelope.child_of, _STATES[type(outcome)], place)
    _finish(attempt, settlement)
    settlement.events.append(_event_of(attempt, outcome, failure, place, now))


def _finish(attempt: Attempt, settlement: Settlement) -> None:
    if attempt.offset is not None:
        settlement.finished.append(attempt.offset)
    if attempt.entry is not None and (lane := lane_of(attempt.entry)) is not None:
        settlement.touched[lane] = None  # also if its definition was strict once, and is not now


_STATES: Final = {
    Completed: State.COMPLETED,
    Discarded: State.DISCARDED,
    Cancelled: State.CANCELLED,
    Expired: State.EXPIRED,
}


def _keep_open(
    attempt: Attempt,
    settlement: Settlement,
    history: tuple[AttemptRecord, ...],
    used: int,
    now: int,
    *,
    state: State,
    due: int,
    blocks: bool,
    failure: Failure | None,
) -> None:
    entry = _entry_after(
        attempt,
        history,
        used,
        now,
        failure,
        state=state,
        run=attempt.run + 1,
        due=due,
        blocks=blocks,
    )
    settlement.open(entry, attempt.lane)


def _entry_after(
    attempt: Attempt,
    history: tuple[AttemptRecord, ...],
    used: int,
    now: int,
    failure: Failure | None,
    **changes: Any,
) -> OpenEntry:
    base = attempt.entry or new_entry(
        attempt.job,
        attempt.record,
        attempt.envelope,
        State.RUNNING,
        arrival=attempt.record.offset,
        single=attempt.single,
    )
    return replace(
        base,
        attempts=used,
        starts=0,
        is_supposed=False,
        started_by=None,
        held=None,
        history=history,
        notes=attempt.notes,
        failure=failure or base.failure,
        first_failure=base.first_failure or (now if failure else None),
        reason="" if failure is None else f"{failure.type}: {failure.message}"[:200],
        **{"letter_pending": False, **changes},
    )


def _held_after(
    attempt: Attempt, held: Held, history: tuple[AttemptRecord, ...], now: int
) -> OpenEntry:
    """As it is, but in the open table until the limit has room."""
    base = attempt.entry or new_entry(
        attempt.job,
        attempt.record,
        attempt.envelope,
        State.PARKED,
        arrival=attempt.record.offset,
        single=attempt.single,
    )
    starts = 0
    if attempt.started is None:  # its start may have been recorded for suspicion, and did not come
        starts = base.starts - (base.state is State.RUNNING and base.starts > 0)
    return held_entry(
        base,
        held.limit,
        held.reason,
        attempt.lane,
        starts=starts,
        history=history,
        notes=attempt.notes,
        failure=held.failure or base.failure,
        first_failure=base.first_failure or (now if held.failure else None),
    )


def held_entry(
    entry: OpenEntry, limit: str, reason: str, lane: bytes | None, **changes: Any
) -> OpenEntry:
    """An entry that a limit holds; others of its key wait behind it."""
    return replace(
        entry,
        state=State.PARKED,
        is_supposed=False,
        started_by=None,
        held=limit,
        reason=reason,
        due=None,
        blocks=lane is not None,
        **changes,
    )


def _ledger_after(
    attempt: Attempt,
    outcome: Ending,
    history: tuple[AttemptRecord, ...],
    used: int,
    now: int,
) -> LedgerRecord:
    state, result, reason = _ending(outcome)
    return LedgerRecord(
        job=attempt.job,
        state=state,
        time=attempt.envelope.time,
        generation=attempt.generation,
        run=attempt.run,
        attempts=used,
        ended=now,
        unique_for_ms=attempt.definition.unique_for_ms,
        result=result,
        stored=outcome.stored if isinstance(outcome, Completed) else None,
        reason=reason,
        failure=None if attempt.entry is None else attempt.entry.failure,
        history=history,
        notes=attempt.notes,
        is_restored=attempt.entry is not None and attempt.entry.restored is not None,
        single=once_over(
            attempt.single,
            ran=attempt.started is not None or bool(used or attempt.run),
            was_dead=False,
            ended=now,
        ),
    )


def _ending(outcome: Ending) -> tuple[State, bytes | None, str]:
    match outcome:
        case Completed(result=result):
            return State.COMPLETED, result, ""
        case Discarded(reason=reason):
            return State.DISCARDED, None, reason
        case Cancelled(reason=reason):
            return State.CANCELLED, None, reason
        case Expired():
            return State.EXPIRED, None, "it waited longer than it was worth"


def _with_attempt(
    attempt: Attempt, outcome: Outcome, failure: Failure | None, place: Place, now: int
) -> tuple[AttemptRecord, ...]:
    before = () if attempt.entry is None else attempt.entry.history
    if attempt.started is None:
        return before
    this = AttemptRecord(
        attempt=attempt.number,
        started=attempt.started,
        ended=now,
        worker=place.worker,
        outcome=_HAPPENING[type(outcome)].value,
        error=None if failure is None else f"{failure.type}: {failure.message}"[:200],
    )
    return (*before, this)


_HAPPENING: dict[type, Happening] = {
    Completed: Happening.COMPLETED,
    Retrying: Happening.RETRYING,
    Snoozed: Happening.SLEEPING,
    Held: Happening.PARKED,
    Discarded: Happening.DISCARDED,
    Cancelled: Happening.CANCELLED,
    Expired: Happening.EXPIRED,
    Dead: Happening.DEAD,
}


def _event_of(
    attempt: Attempt, outcome: Outcome, failure: Failure | None, place: Place, now: int
) -> LifecycleEvent:
    return LifecycleEvent(
        happening=_HAPPENING[type(outcome)],
        at=now,
        queue=place.queue,
        name=attempt.job.name,
        id=attempt.job.id,
        key=attempt.job.ordering_key,
        attempt=attempt.number,
        ran_ms=None if attempt.started is None else now - attempt.started,
        due=_due_of(outcome, now) if isinstance(outcome, _COMES_DUE) else None,
        error_type=None if failure is None else failure.type,
        error=None if failure is None else failure.message,
        traceparent=attempt.envelope.traceparent,
        trace=None if failure is None else failure.trace or None,
    )


def _due_of(outcome: Retrying | Snoozed, now: int) -> int:
    return now + (outcome.after_ms if isinstance(outcome, Retrying) else outcome.for_ms)
