"""Parks jobs: durably, in the open table, behind an earlier job of their key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from streams.jobs.lifecycle import Happening
from streams.jobs.states import State
from streams.wire.state import OpenEntry
from streams.worker.admission import new_entry
from streams.worker.attempt import Attempt
from streams.worker.owned import Owned
from streams.worker.settlement import Settlement

REASON = "an earlier job of its key is open"


def park_attempts(
    owned: Owned, attempts: Iterable[Attempt], settlement: Settlement, now: int
) -> None:
    """Park jobs that are not in hand any more; each keeps its place in the order of arrival."""
    for attempt in attempts:
        if attempt.was_opened and _is_parked(attempt.entry):
            if attempt.key_rate is not None:
                owned.hand.leave(attempt)
            continue  # it is still, and in its place
        if attempt.key_rate is not None:
            settlement.left.append(attempt)
        if attempt.entry is None:
            settlement.open(_parked(attempt), attempt.lane)
            owned.tell(settlement, Happening.PARKED, attempt.job, now)
        else:
            park_entry(owned, attempt.entry, attempt.lane, settlement, now)
        if attempt.offset is not None:
            settlement.finished.append(attempt.offset)


def _parked(attempt: Attempt) -> OpenEntry:
    return new_entry(
        attempt.job,
        attempt.record,
        attempt.envelope,
        State.PARKED,
        arrival=attempt.record.offset,
        blocks=attempt.lane is not None,
        reason=REASON,
        single=attempt.single,
    )


def _is_parked(entry: OpenEntry | None) -> bool:
    return (
        entry is not None
        and entry.state is State.PARKED
        and entry.due is None
        and entry.held is None
    )


def park_entry(
    owned: Owned, entry: OpenEntry, lane: bytes | None, settlement: Settlement, now: int
) -> None:
    """Park a job that is in the open table already."""
    parked = replace(
        entry, state=State.PARKED, due=None, held=None, blocks=lane is not None, reason=REASON
    )
    settlement.open(parked, lane)
    owned.tell(settlement, Happening.PARKED, entry.job, now)
