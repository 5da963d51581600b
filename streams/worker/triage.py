"""What to do with a record that arrives, decided from how far its job is. Pure."""

from __future__ import annotations

from enum import Enum

from streams.jobs.states import State
from streams.values import immutable
from streams.wire.envelope import Envelope
from streams.wire.state import LedgerRecord, OpenEntry
from streams.worker.single_index import Mark


class Verdict(Enum):
    """What becomes of an arrival."""

    ADMIT = "admit"  # to its lane
    DUPLICATE = "duplicate"  # dropped: its job is known, and no older
    SCHEDULE = "schedule"  # due later
    EXPIRE = "expire"  # waited too long
    DROP = "drop"  # of those like it another one runs
    DEBOUNCE = "debounce"  # until no other like it has come for a while
    PARK = "park"  # an earlier job of its key is open


@immutable(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of an arrival's job and key."""

    active_time: int | None  # the time of the job in our hands, if it is
    entry: OpenEntry | None
    ledger: LedgerRecord | None
    key_blocked: bool
    state_key: bytes = b""
    alike: Mark | None = None  # the job because of which it is not to run
    is_debounced: bool = False  # it waits for others like it


def triage(envelope: Envelope, known: Known, *, now: int, unique_for_ms: int) -> Verdict:
    """Decide an arrival; times in milliseconds since the epoch.

    A job that is open is never started a second time, whatever the copy's time; one that is over
    starts again only for a later time, outside `unique_for` of its end.
    """
    if known.active_time is not None or known.entry is not None:
        return Verdict.DUPLICATE
    ledger = known.ledger
    is_known = ledger is not None and is_covered(envelope.time, ledger, unique_for_ms)
    if is_known and not _goes_on(envelope, ledger):
        return Verdict.DUPLICATE
    if envelope.expires is not None and envelope.expires <= now:
        return Verdict.EXPIRE
    if known.alike is not None:
        # The same id again: what became of the first one stays on record.
        return Verdict.DUPLICATE if known.alike.state_key == known.state_key else Verdict.DROP
    if known.is_debounced:
        return Verdict.DEBOUNCE
    if envelope.not_before is not None and envelope.not_before > now:
        return Verdict.SCHEDULE
    if known.key_blocked:
        return Verdict.PARK
    return Verdict.ADMIT


def _goes_on(envelope: Envelope, ledger: LedgerRecord | None) -> bool:
    """Whether a later job runs though its id has ended not long ago."""
    if ledger is None or envelope.time <= ledger.time:
        return False
    # One that was moved away, and died elsewhere, may come back: its end here was none.
    is_back = envelope.moved_from is not None and ledger.state is not State.COMPLETED
    # The dead one was discarded for this one, or for one that a crash had forgotten.
    return is_back or (envelope.replaces_dead and ledger.is_replaced)


def is_covered(time: int, ledger: LedgerRecord, unique_for_ms: int) -> bool:
    """Whether a copy of `time` is one that the ledger's record answers already."""
    return time <= ledger.time or time < ledger.ended + unique_for_ms
