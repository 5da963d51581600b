"""What becomes of open jobs without an attempt of theirs: cancelled, replayed, discarded, dead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.wire.letters import letter_key, letter_of
from streams.wire.single import once_over
from streams.wire.state import LedgerRecord, OpenEntry
from streams.worker.dead_hooks import UNKNOWN_JOB, WORKER_DIED, hook_of
from streams.worker.ports import Append
from streams.worker.reports import report_of_entry
from streams.worker.settlement import Place, Settlement
from streams.worker.suspects import Suspicion
from streams.worker.tables import lane_of


def cancel(
    entry: OpenEntry,
    reason: str,
    settlement: Settlement,
    place: Place,
    now: int,
    unique_for_ms: int,
    *,
    was_open: bool = True,
) -> None:
    """End a job that waits in the open table, or was about to."""
    record = _ledger_of(entry, State.CANCELLED, reason, now, unique_for_ms)
    _end_entry(entry, record, Happening.CANCELLED, settlement, place, now, was_open=was_open)


def replace_waiting(
    entry: OpenEntry,
    reason: str,
    settlement: Settlement,
    place: Place,
    now: int,
    unique_for_ms: int,
) -> None:
    """End a job that waits in the open table: another one like it has come."""
    record = _ledger_of(entry, State.DISCARDED, reason, now, unique_for_ms)
    _end_entry(entry, record, Happening.DISCARDED, settlement, place, now)


def _end_entry(
    entry: OpenEntry,
    record: LedgerRecord,
    happening: Happening,
    settlement: Settlement,
    place: Place,
    now: int,
    *,
    was_open: bool = True,
) -> None:
    remove_pending_letter(entry, settlement, place)
    settlement.end(entry.job.encode(), record, was_open=was_open, lane=lane_of(entry))
    settlement.reports += report_of_entry(entry, record.state, place)
    settlement.events.append(_plain_event(happening, entry.job, place, now))


def replay(
    entry: OpenEntry,
    lane: bytes | None,
    settlement: Settlement,
    place: Place,
    now: int,
    *,
    is_repeated: bool = True,
) -> None:
    """Open a dead job again as its next generation.

    `is_repeated`: after a crash whoever wants it says so again, and the letter is removed then. A
    job with a lane takes its old place in the order of arrival, so that letters of one key
    replay in order, and before what a halt has parked behind them.
    """
    again = replace(
        entry,
        state=State.SCHEDULED if lane is None else State.PARKED,
        generation=entry.generation + 1,
        run=0,
        attempts=0,
        due=now if lane is None else None,
        held=None,
        blocks=lane is not None,
        letter_pending=not is_repeated,
        unknown_since=None,
        reason="replayed",
    )
    settlement.open(again, lane)
    # The letter goes after the entry is durable: a crash between them leaves a letter that is void.
    remove_letter(entry.job, entry.generation, settlement, place)
    settlement.events.append(_plain_event(Happening.REPLAYED, entry.job, place, now))


def remove_pending_letter(entry: OpenEntry, settlement: Settlement, place: Place) -> None:
    """Remove the letter of the generation before; a crash may have come before that."""
    if entry.letter_pending and entry.state is not State.DEAD:
        remove_letter(entry.job, entry.generation - 1, settlement, place)


def discard(
    entry: OpenEntry,
    reason: str,
    settlement: Settlement,
    place: Place,
    now: int,
    unique_for_ms: int,
) -> None:
    """End a dead job for good."""
    record = _ledger_of(entry, State.DISCARDED, reason, now, unique_for_ms)
    _end_entry(entry, record, Happening.DISCARDED, settlement, place, now)
    # Before the ledger: until then a crash repeats the command, and the letter's tombstone.
    remove_letter(entry.job, entry.generation, settlement, place)


def remove_letter(job: JobKey, generation: int, settlement: Settlement, place: Place) -> None:
    """Remove a letter that is resolved, or void."""
    key = letter_key(job, place.queue, generation)
    settlement.letters.append(Append(place.dead, place.partition, key, None))


def bury_unknown(
    entry: OpenEntry, lane: bytes | None, settlement: Settlement, place: Place, now: int
) -> None:
    """A job whose name no handler here knows: dead, and replayable once one does."""
    failure = Failure(
        type=UNKNOWN_JOB,
        message=f"no handler is named {entry.job.name!r}; deploy one, then replay this letter",
        trace="",
    )
    _bury(entry, failure, lane, settlement, place, now)


def _bury(
    entry: OpenEntry,
    failure: Failure,
    lane: bytes | None,
    settlement: Settlement,
    place: Place,
    now: int,
    *,
    halts: bool = False,
    definition: JobDefinition | None = None,
) -> None:
    dead = replace(
        entry,
        state=State.DEAD,
        due=now,
        held=None,
        blocks=halts and lane is not None,
        letter_pending=True,
        died=now,
        failure=failure,
        first_failure=entry.first_failure or now,
        reason=failure.message,
        starts=0,
    )
    settlement.open(dead, lane)
    send_letter(dead, settlement, place, hook_of(dead, definition, place))
    settlement.events.append(_plain_event(Happening.DEAD, entry.job, place, now))


def record_start(
    entry: OpenEntry,
    lane: bytes | None,
    settlement: Settlement,
    suspicion: Suspicion,
    now: int,
) -> None:
    """Write that a job starts, which it does once this is durable."""
    suspicion.note(entry.job.encode())
    started = replace(
        entry,
        state=State.RUNNING,
        # In the order in which they would have started; a rate of its key counts from `started_by`.
        due=min(entry.time if entry.due is None else entry.due, suspicion.opened_at),
        started_by=suspicion.opened_at,
        held=None,
        blocks=lane is not None,
        starts=entry.starts + 1,
        is_supposed=not entry.has_run,
        reason="its worker may have ended while it ran; its starts are counted",
    )
    settlement.open(started, lane)


def bury_killer(
    entry: OpenEntry,
    lane: bytes | None,
    settlement: Settlement,
    place: Place,
    now: int,
    *,
    halts: bool,
    definition: JobDefinition | None,
) -> None:
    """A job during which workers ended too often: dead, before it ends another one."""
    failure = Failure(
        type=WORKER_DIED,
        message=f"the worker's process ended {entry.starts} times while this job ran",
        trace="",
    )
    _bury(entry, failure, lane, settlement, place, now, halts=halts, definition=definition)


def restore(entry: OpenEntry, lane: bytes | None, settlement: Settlement, place: Place) -> None:
    """Have a dead job again, with its letter."""
    settlement.open(entry, lane)
    send_letter(entry, settlement, place)


def send_letter(
    entry: OpenEntry, settlement: Settlement, place: Place, hook: Sequence[Append] = ()
) -> None:
    """Send the letter of a dead entry, and note afterwards that it is sent.

    Until then the entry is due, so that whoever recovers it sends the letter again. `hook` is the
    job that its definition wants to run then.
    """
    settlement.followers += hook
    key, value, headers = letter_of(entry, place.queue, place.worker)
    # In the partition of its job: those of one key are there in the order in which they died.
    settlement.letters.append(Append(place.dead, place.partition, key, value, headers))
    settlement.pending_letters.append(entry)
    settlement.reports += report_of_entry(entry, State.DEAD, place)


def _ledger_of(
    entry: OpenEntry, state: State, reason: str, now: int, unique_for_ms: int
) -> LedgerRecord:
    return LedgerRecord(
        job=entry.job,
        state=state,
        time=entry.time,
        generation=entry.generation,
        run=entry.run,
        attempts=entry.attempts,
        ended=now,
        unique_for_ms=unique_for_ms,
        reason=reason,
        failure=entry.failure,
        history=entry.history,
        notes=entry.notes,
        is_restored=entry.restored is not None,
        single=once_over(
            entry.single,
            ran=bool(entry.attempts or entry.run) or entry.state is State.RUNNING,
            was_dead=entry.state is State.DEAD,
            ended=now,
        ),
    )


def _plain_event(happening: Happening, job: JobKey, place: Place, now: int) -> LifecycleEvent:
    return LifecycleEvent(
        happening=happening,
        at=now,
        queue=place.queue,
        name=job.name,
        id=job.id,
        key=job.ordering_key,
    )
