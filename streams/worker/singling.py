"""Looks for jobs like one that arrives: in hand, in what a turn has decided, and in state."""

from __future__ import annotations

from collections.abc import Iterator

from streams.jobs.definition import JobDefinition
from streams.jobs.outcome import Discarded
from streams.jobs.single import Kind
from streams.wire.envelope import Envelope, Record
from streams.wire.single import Single
from streams.wire.state import head_of
from streams.worker import settle
from streams.worker.attempt import Attempt
from streams.worker.owned import Owned
from streams.worker.settlement import Settlement
from streams.worker.single_index import Mark, mark_of_state
from streams.worker.singles import first_like, mark_of, why_dropped


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
        match rule.kind:
            case Kind.THROTTLE:
                until = record.timestamp + rule.ms
        return Single(scope=scope, kind=rule.kind, arrival=record.offset, until=until)

    def first_like(self, single: Single, record: Record, settlement: Settlement) -> Mark | None:
        """The job because of which this one is not to run."""
        sent = record.timestamp
        marks = self._marks(single.scope, sent, settlement)
        return first_like(marks, arrival=record.offset, sent=sent)

    def drop(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        """End an arrival of which another one runs, and keep on record which one that is."""
        assert attempt.single is not None
        other = self.first_like(attempt.single, attempt.record, settlement)
        why = why_dropped(attempt.single.kind, other)
        settle.conclude(attempt, Discarded(why), settlement, self._owned.place, now)

    def _marks(self, scope: str, sent: int, settlement: Settlement) -> Iterator[Mark]:
        hand = self._owned.hand
        for attempt in hand.singles.of(scope):
            if attempt.single is not None and (mark := mark_of(attempt, attempt.single)):
                yield mark
        decided = settlement.singles.get(scope, ())
        for state_key in decided:
            if state_key in hand:
                continue
            entry, ledger = settlement.opens.get(state_key), settlement.ledgers.get(state_key)
            single = head_of(entry).single if entry else ledger.single if ledger else None
            if single is not None:
                yield mark_of_state(single, state_key)
        for mark in self._owned.tables.marks(scope, sent):
            if mark.state_key not in hand and not settlement.has(mark.state_key):
                yield mark
