"""Takes what arrives on the queue: decode, triage, and on to a lane, the open table, or its end."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from streams.errors import UndecodableRecord
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.outcome import Cancelled, Expired
from streams.jobs.single import Kind
from streams.jobs.states import State
from streams.wire.envelope import Envelope, Record, check_size, decode
from streams.wire.letters import undecodable_letter
from streams.wire.partition import partition_of
from streams.wire.single import Single
from streams.wire.state import REPLACED, OpenEntry
from streams.worker import open_jobs, settle
from streams.worker.admission import attempt_of, new_entry
from streams.worker.callbacks import Callbacks
from streams.worker.commands import Commands
from streams.worker.openings import hold_unknown
from streams.worker.owned import Owned
from streams.worker.parking import park_attempts
from streams.worker.ports import Append
from streams.worker.reports import report_of
from streams.worker.settlement import Settlement
from streams.worker.singling import Singling
from streams.worker.takeover import TakeOvers
from streams.worker.triage import Known, Verdict, triage


class Intake:
    """Decides arrivals of one partition, in their order."""

    def __init__(
        self, owned: Owned, commands: Commands, take_overs: TakeOvers, callbacks: Callbacks
    ) -> None:
        self._owned = owned
        self._commands = commands
        self._take_overs = take_overs
        self._callbacks = callbacks
        self._singling = Singling(owned)
        self._partition_of = lru_cache(maxsize=50_000)(partition_of)

    def admit(self, record: Record, settlement: Settlement, now: int) -> bool:
        """Decide one record; False: it has to wait for the next turn, as all behind it.

        So does one whose job has ended in this turn, and begins again: the ledger has one record
        for both, and that of the first one would never be written.
        """
        owned = self._owned
        if record.offset < owned.watermark.position:
            return True  # a redelivery of what is in hand or settled already
        try:
            check_size(record)
            envelope = decode(record)
        except UndecodableRecord as error:
            owned.watermark.begin(record.offset)
            self._bury(record, str(error), settlement, now)
            return True
        if envelope.key is not None and self._is_misplaced(record):
            owned.watermark.begin(record.offset)
            self._forward(record, settlement)
            return True
        definition, job, state_key, lane = self._identify(record, envelope)
        ended = settlement.ledgers.get(state_key)
        if ended is not None and envelope.time > ended.time:
            return False
        if envelope.replaces_dead and self._ends_dead(envelope, job, state_key, settlement, now):
            return False
        owned.watermark.begin(record.offset)
        self._decide(record, envelope, definition, job, state_key, lane, settlement, now)
        return True

    def _ends_dead(
        self, envelope: Envelope, job: JobKey, state_key: bytes, settlement: Settlement, now: int
    ) -> bool:
        """Discard the dead job of which this one takes the place; True: it waits for that.

        It comes in the next turn, once the end is on record. A crash before that repeats this; one
        after it finds the record, which says that a later one is to come.
        """
        owned = self._owned
        entry = owned.entry(state_key, settlement)
        if entry is None or entry.state is not State.DEAD or envelope.time <= entry.time:
            return False
        if not settlement.has(state_key):  # else its letter may be written in this turn
            for_ = owned.unique_for_ms(job)
            entry = replace(entry, single=None)  # of those alike it has the place: this one has it
            open_jobs.discard(entry, REPLACED, settlement, owned.place, now, for_)
        return True

    def _decide(
        self,
        record: Record,
        envelope: Envelope,
        definition: JobDefinition | None,
        job: JobKey,
        state_key: bytes,
        lane: bytes | None,
        settlement: Settlement,
        now: int,
    ) -> None:
        owned = self._owned
        single = self._singling.of(definition, record, envelope)
        commanded = -1
        if envelope.not_before is not None and (single is None or single.kind is not Kind.DEBOUNCE):
            again = self._commands.rescheduled_ahead(job, record.offset)
            if again is not None:
                not_before, commanded = again
                envelope = replace(envelope, not_before=not_before)
        verdict = self._triage(
            record, envelope, definition, single, state_key, lane, settlement, now
        )
        if verdict is Verdict.ADMIT and commanded >= 0:
            verdict = Verdict.SCHEDULE  # to start at once; without an entry its old time came back
        if verdict is Verdict.DUPLICATE:
            owned.tell(settlement, Happening.DUPLICATE, job, now)
            if envelope.child_of is not None:
                self._report_again(envelope, state_key, settlement)
            if single is not None:
                self._singling.replace_again(state_key, settlement, now)
            settlement.finished.append(record.offset)
            settlement.copies += 1
            return
        reason = self._commands.cancelled_ahead(job, record.offset, envelope.time)
        tally = None
        if envelope.awaits is not None:
            tally = self._callbacks.tally_of(state_key, envelope.awaits)
        if definition is None:
            entry = new_entry(job, record, envelope, State.PARKED, arrival=record.offset)
            entry = replace(entry, tally=tally)
            if reason is None and verdict is Verdict.SCHEDULE:  # by then its name may be known
                self._schedule(entry, envelope, commanded, settlement, now)
            elif reason is None:
                hold_unknown(owned, entry, lane, settlement, now)
            else:
                for_ = owned.place.unique_for_ms
                open_jobs.cancel(entry, reason, settlement, owned.place, now, for_, was_open=False)
            settlement.finished.append(record.offset)
            return
        attempt = attempt_of(job, record, envelope, definition, lane=lane, single=single)
        if reason is not None:
            settle.conclude(attempt, Cancelled(reason), settlement, owned.place, now)
            return
        if tally is not None and verdict is not Verdict.EXPIRE:
            entry = new_entry(job, record, envelope, State.RUNNING, arrival=record.offset)
            entry = replace(entry, tally=tally)
            self._callbacks.hold_or_open(entry, settlement, now, was_open=False)
            settlement.finished.append(record.offset)
            return
        match verdict:
            case Verdict.ADMIT if owned.suspicion.covers_arrival(record.offset):
                entry = new_entry(
                    job,
                    record,
                    envelope,
                    State.QUEUED,
                    arrival=record.offset,
                    due=envelope.not_before,
                    single=single,
                )
                open_jobs.record_start(entry, lane, settlement, owned.suspicion, now)
                settlement.finished.append(record.offset)
            case Verdict.ADMIT:
                self._take_overs.watch(attempt)
                owned.take(attempt)
            case Verdict.PARK:
                park_attempts(owned, (attempt,), settlement, now)
            case Verdict.SCHEDULE:
                entry = new_entry(
                    job, record, envelope, State.SCHEDULED, arrival=record.offset, single=single
                )
                self._schedule(entry, envelope, commanded, settlement, now)
                settlement.finished.append(record.offset)
            case Verdict.DEBOUNCE:
                self._singling.wait(attempt, settlement, now)
            case Verdict.DROP:
                self._singling.drop(attempt, settlement, now)
            case Verdict.EXPIRE:
                settle.conclude(attempt, Expired(), settlement, owned.place, now)

    def _schedule(
        self,
        entry: OpenEntry,
        envelope: Envelope,
        commanded: int,
        settlement: Settlement,
        now: int,
    ) -> None:
        due = envelope.not_before
        entry = replace(entry, state=State.SCHEDULED, due=due, commanded=commanded)
        if commanded >= 0:
            entry = replace(entry, not_before=due)
        settlement.open(entry, None)
        self._owned.tell(settlement, Happening.SCHEDULED, entry.job, now, due=due)

    def _report_again(self, envelope: Envelope, state_key: bytes, settlement: Settlement) -> None:
        """A crash may have come between the end of a child and its report."""
        owned = self._owned
        if state_key in owned.hand or owned.entry(state_key, settlement) is not None:
            return  # its report is to come
        ledger = settlement.ledgers.get(state_key) or owned.tables.ledger(state_key)
        if ledger is not None:
            settlement.reports += report_of(envelope.child_of, ledger.state, owned.place)

    def admit_at_once(self, record: Record, pending: Settlement, now: int) -> bool:
        """Admit a job without a turn, by what is known once `pending`, the last one, is written.

        False: something is to be written about it. It waits for its own turn, as all that comes
        behind it does.
        """
        owned = self._owned
        if record.offset < owned.watermark.position or self._commands.are_pending:
            return False
        if owned.suspicion.covers_arrival(record.offset):
            return False
        try:
            check_size(record)
            envelope = decode(record)
        except UndecodableRecord:
            return False
        if envelope.key is not None and self._is_misplaced(record):
            return False
        definition, job, state_key, lane = self._identify(record, envelope)
        if definition is None or envelope.awaits is not None:
            return False
        single = self._singling.of(definition, record, envelope)
        verdict = self._triage(record, envelope, definition, single, state_key, lane, pending, now)
        if verdict is not Verdict.ADMIT:
            return False
        owned.watermark.begin(record.offset)
        attempt = attempt_of(job, record, envelope, definition, lane=lane, single=single)
        self._take_overs.watch(attempt)
        owned.take(attempt)
        return True

    def _identify(
        self, record: Record, envelope: Envelope
    ) -> tuple[JobDefinition | None, JobKey, bytes, bytes | None]:
        """What handles it, its identity, the key of its state, and its lane."""
        definition = self._owned.registry.by_name(envelope.name)
        strict = definition is None or definition.ordering == "strict"
        job = JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id)
        lane = record.key if strict and envelope.key is not None else None
        return definition, job, job.encode(), lane

    def _triage(
        self,
        record: Record,
        envelope: Envelope,
        definition: JobDefinition | None,
        single: Single | None,
        state_key: bytes,
        lane: bytes | None,
        settlement: Settlement,
        now: int,
    ) -> Verdict:
        owned = self._owned
        active = owned.hand.get(state_key)
        known = Known(
            active_time=None if active is None else active.envelope.time,
            entry=owned.entry(state_key, settlement),
            ledger=settlement.ledgers.get(state_key) or owned.tables.ledger(state_key),
            key_blocked=lane is not None and owned.is_blocked(lane, settlement),
            state_key=state_key,
            is_debounced=single is not None and single.kind is Kind.DEBOUNCE,
            alike=None if single is None else self._singling.first_like(single, record, settlement),
        )
        unique_for_ms = owned.place.unique_for_ms
        if definition is not None:
            unique_for_ms = definition.unique_for_ms
        return triage(envelope, known, now=now, unique_for_ms=unique_for_ms)

    def _is_misplaced(self, record: Record) -> bool:
        """Whether a sender with another partitioner put it on the wrong partition for its key."""
        place = self._owned.place
        return (
            record.key is not None
            and self._partition_of(record.key, place.partitions) != place.partition
        )

    def _forward(self, record: Record, settlement: Settlement) -> None:
        place = self._owned.place
        settlement.forwards.append(
            Append(place.topic, None, record.key, record.value, record.headers)
        )
        settlement.finished.append(record.offset)

    def _bury(self, record: Record, why: str, settlement: Settlement, now: int) -> None:
        place = self._owned.place
        key, value, headers = undecodable_letter(record, place.queue, why, now, place.worker)
        settlement.letters.append(Append(place.dead, place.partition, key, value, headers))
        settlement.finished.append(record.offset)
        settlement.undecodable += 1
        settlement.events.append(
            LifecycleEvent(
                happening=Happening.UNDECODABLE,
                at=now,
                queue=place.queue,
                name="",
                id="",
                error=why,
            )
        )
