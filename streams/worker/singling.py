"""Of jobs that are alike one runs: looks for them in hand, in a turn and in state, and drops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening
from streams.jobs.outcome import Discarded
from streams.jobs.single import Kind
from streams.jobs.states import State
from streams.wire.envelope import Envelope, Record
from streams.wire.single import Single
from streams.wire.state import OpenEntry, counted, is_debounced
from streams.worker import open_jobs, settle
from streams.worker.admission import new_entry
from streams.worker.attempt import Attempt
from streams.worker.owned import Owned
from streams.worker.settlement import Settlement
from streams.worker.single_index import Mark, mark_of_state
from streams.worker.singles import burst_of, first_like, mark_of, why_dropped

WAITS = "debounced: it runs once no newer one of its key has come for a while"


class Singling:
    """Knows of one partition which jobs are alike, as it will be once a turn is settled."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned

    def of(
        self, definition: JobDefinition | None, record: Record, envelope: Envelope
    ) -> Single | None:
        """What an arrival is, by its definition; None: it is like no other.

        A callback is like no other: whoever started its batch waits for it.
        """
        rule = None if definition is None else definition.single
        if definition is None or rule is None or envelope.awaits is not None:
            return None
        if envelope.key is None:  # a sender gave it none
            return None
        scope = rule.scope(definition.name, envelope.key, definition.payload_type, envelope.payload)
        if scope is None:
            return None
        kind, arrival = rule.kind, record.offset
        match kind:
            case Kind.THROTTLE:
                until = record.timestamp + rule.ms
                return Single(scope=scope, kind=kind, arrival=arrival, until=until)
            case Kind.UNTIL_OVER:
                return Single(scope=scope, kind=kind, arrival=arrival, for_ms=rule.ms)
            case Kind.DEBOUNCE | Kind.UNTIL_STARTED:
                return Single(scope=scope, kind=kind, arrival=arrival)

    def first_like(self, single: Single, record: Record, settlement: Settlement) -> Mark | None:
        """The job because of which this one is not to run."""
        if single.kind is Kind.DEBOUNCE:
            return None  # it is the others that give way
        sent, scope = record.timestamp, single.scope
        if self._has_none(scope, settlement):  # the usual case, and it costs little
            return None
        marks = self._marks(scope, sent, settlement)
        return first_like(marks, arrival=record.offset, sent=sent)

    def drop(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        """End an arrival of which another one runs, and keep on record which one that is."""
        single = attempt.single
        assert single is not None
        other = self.first_like(single, attempt.record, settlement)
        assert other is not None
        is_tick = attempt.definition.cron is not None
        why = why_dropped(single.kind, JobKey.decode(other.state_key), is_tick=is_tick)
        settle.conclude(attempt, Discarded(why), settlement, self._owned.place, now)

    def wait(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        """Let an arrival wait in the place of those of its burst that wait."""
        owned, record, single = self._owned, attempt.record, attempt.single
        rule = attempt.definition.single
        assert single is not None and rule is not None
        waiting = self._waiting(single, record.timestamp, settlement)
        since, due = burst_of(
            rule,
            [one.single for one in waiting if one.single is not None],
            sent=record.timestamp,
            not_before=attempt.envelope.not_before,
        )
        entry = new_entry(
            attempt.job,
            record,
            attempt.envelope,
            State.SCHEDULED,
            arrival=record.offset,
            due=due,
            reason=WAITS,
            single=replace(single, since=since, until=due),
        )
        settlement.open(entry, None)
        settlement.finished.append(record.offset)
        owned.tell(settlement, Happening.SCHEDULED, attempt.job, now, due=due)
        for one in waiting:
            self._replace(one, attempt.job, settlement, now)

    def replace_again(self, state_key: bytes, settlement: Settlement, now: int) -> None:
        """What comes again: a crash may have come between its entry and the end of the others.

        None of them has started by then: see `Openings._must_be_read_first`.
        """
        entry = self._owned.entry(state_key, settlement)
        if entry is None or entry.single is None or entry.single.kind is not Kind.DEBOUNCE:
            return
        for one in self._waiting(entry.single, entry.enqueued, settlement):
            self._replace(one, entry.job, settlement, now)

    def _waiting(self, single: Single, sent: int, settlement: Settlement) -> list[OpenEntry]:
        """Those that came before, and had not been due when it was sent."""
        marks = list(self._marks(single.scope, sent, settlement))
        entries = [
            self._owned.entry(mark.state_key, settlement)
            for mark in marks
            if mark.arrival < single.arrival and sent < mark.until
        ]
        return [entry for entry in entries if entry is not None and is_debounced(entry)]

    def _replace(self, entry: OpenEntry, by: JobKey, settlement: Settlement, now: int) -> None:
        owned = self._owned
        definition = owned.registry.by_name(entry.job.name)
        unique_for_ms = owned.place.unique_for_ms
        if definition is not None:
            unique_for_ms = definition.unique_for_ms
        why = why_dropped(Kind.DEBOUNCE, by)
        open_jobs.replace_waiting(entry, why, settlement, owned.place, now, unique_for_ms)

    def _has_none(self, scope: str, settlement: Settlement) -> bool:
        owned = self._owned
        if owned.hand.singles.of(scope) or scope in settlement.singles:
            return False
        return not owned.tables.may_have_marks

    def _marks(self, scope: str, sent: int, settlement: Settlement) -> Iterator[Mark]:
        hand = self._owned.hand
        for attempt in hand.singles.of(scope):
            if attempt.single is not None and (mark := mark_of(attempt, attempt.single)):
                yield mark
        for state_key in settlement.singles.get(scope, ()):
            if state_key in hand:
                continue
            entry, ledger = settlement.opens.get(state_key), settlement.ledgers.get(state_key)
            single = counted(entry) if entry else ledger.single if ledger else None
            if single is not None:
                yield mark_of_state(single, state_key)
        for mark in self._owned.tables.marks(scope, sent):
            if mark.state_key not in hand and not settlement.has(mark.state_key):
                yield mark
