"""Concludes attempts: their outcome into the turn's settlement, and their key goes on."""

from __future__ import annotations

from collections import deque
from typing import Final

from streams.jobs.outcome import (
    Cancelled,
    Completed,
    Discarded,
    Held,
    Opening,
    Outcome,
)
from streams.wire.state import OpenEntry
from streams.worker import settle
from streams.worker.attempt import Attempt
from streams.worker.owned import Owned
from streams.worker.parking import park_attempts
from streams.worker.settlement import Settlement

_MEANT: Final = (Completed, Discarded)  # by the handler; they count though it was cancelled


class Outcomes:
    """What ended and is not settled, in the order in which it ended."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self._ended: deque[tuple[Attempt, Outcome]] = deque()

    def __bool__(self) -> bool:
        return bool(self._ended)

    def arrive(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt ended."""
        self._ended.append((attempt, outcome))

    def conclude_all(self, settlement: Settlement, now: int) -> None:
        """Conclude what ended.

        Entries are written before the ledger: a job that stays open must not be written with those
        of its key that ended before it, or a crash in between would put it before them.
        """
        later: deque[tuple[Attempt, Outcome]] = deque()
        while self._ended:
            attempt, outcome = self._ended.popleft()
            if self._owned.hand.get(attempt.state_key) is not attempt:
                continue
            if attempt.lane in settlement.passed and isinstance(outcome, Opening):
                later.append((attempt, outcome))
                continue
            is_one_of_many = attempt.definition.batch is not None
            is_over = not isinstance(outcome, Opening)
            if (attempt.passed_on or (is_one_of_many and is_over)) and attempt.lane is not None:
                settlement.passed.add(attempt.lane)
            self.conclude(attempt, outcome, settlement, now)
        self._ended = later

    def put_off(self, attempt: Attempt, entry: OpenEntry, settlement: Settlement, now: int) -> None:
        """An attempt that was taken back is an entry again."""
        owned = self._owned
        owned.suspicion.suspects.ended(attempt.state_key)
        owned.suspicion.forget(attempt.state_key)
        settlement.open(entry, attempt.lane)
        if attempt.offset is not None:
            settlement.finished.append(attempt.offset)
        self._put_down(attempt, settlement, now)

    def conclude(
        self, attempt: Attempt, outcome: Outcome, settlement: Settlement, now: int
    ) -> None:
        """Settle one attempt; the next of its key may start as soon as this is decided."""
        owned = self._owned
        owned.suspicion.suspects.ended(attempt.state_key)
        if attempt.cancelled is not None and not isinstance(outcome, _MEANT):
            outcome = Cancelled(reason=attempt.cancelled)
        if isinstance(outcome, Held):
            owned.suspicion.forget(attempt.state_key)
        settle.conclude(attempt, outcome, settlement, owned.place, now)
        self._put_down(attempt, settlement, now)

    def _put_down(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        owned = self._owned
        if attempt.key_rate is not None:
            settlement.left.append(attempt)
        followers = owned.hand.put_down(attempt, is_blocked=attempt.lane in settlement.blocking)
        park_attempts(owned, followers, settlement, now)
