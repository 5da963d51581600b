"""Takes what runs long, or waits long for a limit, into the open table: it holds no offset."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from streams.jobs.states import State
from streams.wire.state import OpenEntry
from streams.worker.admission import new_entry
from streams.worker.attempt import Attempt
from streams.worker.owned import Owned
from streams.worker.parking import park_attempts
from streams.worker.settle import held_entry
from streams.worker.settlement import Settlement

LONG_MS = 10_000  # a run, or a wait for a limit, that takes longer is taken over
BEHIND_MAX = 10_000  # so is one that so many later records have passed
LOOK_MS = 1_000


class TakeOvers:
    """Watches the jobs that hold offsets, oldest first.

    Who is settled is told, so that he is not looked at again: of many thousands in hand each look
    at one is a look into memory that is far away.
    """

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self._held: OrderedDict[int, Attempt] = OrderedDict()  # by offset
        self._looked_at = 0  # when all that is held was looked at last
        self._looked_from = 0  # and the read position then

    def watch(self, attempt: Attempt) -> None:
        """Watch a job that was admitted from the queue."""
        self._held[attempt.record.offset] = attempt

    def settled(self, offsets: Iterable[int]) -> None:
        """These offsets are settled or taken over."""
        for offset in offsets:
            self._held.pop(offset, None)

    def next_look(self, now: int) -> int | None:
        """When to look again; None: there is nothing to watch."""
        oldest = self._oldest()
        if oldest is None:
            return None
        started = oldest.started
        return max(now + LOOK_MS, 0 if started is None else started + LONG_MS)

    def take_over_long(self, settlement: Settlement, now: int) -> None:
        """Write what runs long into the open table, and what waits behind it."""
        oldest = self._oldest()
        if oldest is None:
            return
        watermark = self._owned.watermark
        limit = watermark.position - BEHIND_MAX
        has_news = watermark.position - self._looked_from >= BEHIND_MAX // 10
        if now < self._looked_at + LOOK_MS and not has_news:
            return  # a look at all that is held is not for every turn
        self._looked_at, self._looked_from = now, watermark.position
        if oldest.record.offset >= limit and not self._is_long(oldest, now):
            return
        watched: OrderedDict[int, Attempt] = OrderedDict()
        for offset, attempt in self._held.items():
            if not self._is_held(attempt):
                continue
            is_passed = attempt.lane in settlement.passed  # its entry must not come before theirs
            is_due = self._is_long(attempt, now) or attempt.record.offset < limit
            if is_passed or not is_due:
                watched[offset] = attempt
            elif attempt.started is not None:
                self.take_over(attempt, settlement, now)
            elif attempt.held_by is not None:
                held_by = attempt.held_by
                entry = held_entry(_entry_of(attempt), held_by.name, held_by.reason, attempt.lane)
                self._put_in_table(attempt, entry, settlement, now)
            else:
                watched[offset] = attempt
        self._held = watched

    def take_over(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        """Write a run into the open table, with what its handler said, and park what waits for it.

        Not in a turn that settles an earlier job of its key. Those of its key that run in the same
        call and come before it go first: what has started is not overtaken by what came later.
        """
        for earlier in self._owned.hand.before(attempt):
            if earlier.entry is None or earlier.entry.state is not State.RUNNING:
                self._take_over(earlier, settlement, now)
        self._take_over(attempt, settlement, now)

    def _take_over(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        entry = replace(
            _entry_of(attempt),
            state=State.RUNNING,
            is_supposed=False,
            started_by=None,
            # Whoever opens this partition next starts it at once; and a rate counts from there.
            due=now if attempt.started is None else attempt.started,
            held=None,
            blocks=attempt.lane is not None,
            notes=attempt.notes,
            reason="it runs long",
        )
        self._put_in_table(attempt, entry, settlement, now)

    def take_over_rated(self, settlement: Settlement, now: int) -> None:
        """Write the starts that rates of keys count: who comes after us must know of them."""
        for attempt in self._owned.hand:
            if attempt.key_rate is None or attempt.started is None or attempt.is_over:
                continue
            entry = attempt.entry
            is_written = entry is not None and entry.state is State.RUNNING
            is_ahead = entry is not None and entry.started_by is not None  # of the start itself
            if (is_ahead or not is_written) and attempt.lane not in settlement.passed:
                self.take_over(attempt, settlement, now)

    def _put_in_table(
        self, attempt: Attempt, entry: OpenEntry, settlement: Settlement, now: int
    ) -> None:
        settlement.open(entry, attempt.lane)
        if attempt.offset is not None:
            settlement.finished.append(attempt.offset)
        attempt.entry = entry
        attempt.offset = None
        if attempt.lane is not None:
            followers = self._owned.hand.give_back(attempt.lane)
            park_attempts(self._owned, followers, settlement, now)

    def _oldest(self) -> Attempt | None:
        while self._held:
            oldest = next(iter(self._held.values()))
            if self._is_held(oldest):
                return oldest
            self._held.popitem(last=False)
        return None

    def _is_held(self, attempt: Attempt) -> bool:
        is_in_hand = self._owned.hand.get(attempt.state_key) is attempt
        return is_in_hand and attempt.offset is not None

    @staticmethod
    def _is_long(attempt: Attempt, now: int) -> bool:
        """Whether it runs, or a limit holds it, for long."""
        if attempt.started is not None:
            return attempt.started + LONG_MS <= now
        return attempt.held_by is not None and attempt.held_since + LONG_MS <= now


def _entry_of(attempt: Attempt) -> OpenEntry:
    return attempt.entry or new_entry(
        attempt.job,
        attempt.record,
        attempt.envelope,
        State.RUNNING,
        arrival=attempt.record.offset,
        single=attempt.single,
    )
