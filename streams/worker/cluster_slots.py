"""How many jobs of a definition run at a time in the whole cluster, as this worker has asked. Pure.

A slot that has been given stays with the worker while jobs wait for it here, and nobody elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from streams.worker.attempt import Attempt
from streams.worker.limit import FREED_AT_ONCE, NEAR_MAX, NEW_MS, Limit
from streams.worker.limit_asks import Answer
from streams.worker.slot_shares import SlotAsk

FIRST_ANSWER_MS: Final = 3_000  # within which it may be expected, also by a worker that starts
AGAIN_MS: Final = 250  # while it waits for more
SAY_MS: Final = 1_000  # while it holds some: others learn that they are there, and it of others


@dataclass(slots=True, eq=False)
class ClusterSlots(Limit):
    """Asked for by `LimitLooks`: `next_ask`, and then `answered`."""

    worker: str = ""  # this process, and no other
    lease_ms: int = 0
    runs_in: str = "loop"
    queue: str = ""  # in which most of its jobs come
    elapsed: Callable[[], int] = lambda: 0
    granted: int = 0  # slots of the cluster that are this worker's
    granted_at: int = 0  # the first of these, in ms since the epoch
    use_by: int = 0  # by `elapsed`; then they may be another's
    allowed: int | None = None  # how many it may keep, since others wait
    is_ending: bool = False  # nothing starts here any more
    is_asking: bool = False
    reserved: int = 0  # slots of this worker that are kept free for the answer
    number: int = 0  # of the last ask
    wanted: int = 0  # in that
    again_at: int = 0  # it has not got what it wanted: when to ask for that again
    say_at: int = 0  # when to say what it holds

    @property
    def is_full(self) -> bool:
        return not self.room

    @property
    def room(self) -> int:
        """How many may start now."""
        if not self.granted:
            return 0
        return max(0, self._kept - self.running) if self.elapsed() <= self.use_by else 0

    @property
    def near(self) -> int:
        """All in hand, as long as nobody knows how fast they go on; then see `excess`.

        What goes to the open table holds up all that comes for its key: half a worker's throughput
        would be lost on a backlog for which there are slots.
        """
        first = self.granted_at + NEW_MS if self.granted else self.full_since + FIRST_ANSWER_MS
        return NEAR_MAX if self.most and self.now() < first else self.near_by_pace

    def excess(self) -> Iterator[Attempt]:
        """Those that waited near and are too many by now, the last ones first."""
        for _ in range(len(self.held) - self.near):
            last = self.held[-1]
            if not isinstance(last, Attempt):
                return  # a turn of tenants, who wait elsewhere
            self.remove_last()
            yield last

    @property
    def lets_use(self) -> int:
        """While it has none, who has a start comes here and asks for one."""
        return self.room if self.granted else FREED_AT_ONCE

    @property
    def _kept(self) -> int:
        return self.granted if self.allowed is None else min(self.granted, self.allowed)

    def next_ask(self, free: int) -> SlotAsk | None:
        """What to say now, if so many slots of this worker are free; None: nothing."""
        if self.is_asking or not self.most:
            return None
        now = self.elapsed()
        if now > self.use_by:
            self.granted = self.running  # it was not heard of for long: that much is true
        waiting = len(self.held) + self.coming
        if self.asked and not self.near:
            waiting += 1  # none of them comes without
        idle = self.granted - self.running
        wants = max(0, min(waiting - idle, self.most - self.granted, free - idle))
        keeps = self._kept
        is_due = bool(self.granted or wants) and now >= self.say_at
        if self.is_ending:
            keeps = wants = 0
        elif is_due:  # not before: what is idle now may be needed at once
            keeps = min(keeps, self.running + waiting)
        keeps = max(keeps, self.running)
        if keeps == self.granted and not is_due and not (wants and now >= self.again_at):
            return None
        self.is_asking, self.granted, self.wanted = True, keeps, wants
        self.number += 1
        return SlotAsk(
            by=self.worker,
            number=self.number,
            holds=keeps,
            wants=wants,
            most=self.most,
            lease_ms=self.lease_ms,
        )

    def answered(self, answer: Answer) -> int:
        """Note the answer; how many of those that wait may go on."""
        self.is_asking, now = False, self.elapsed()
        if answer.has_failed:
            self.again_at = self.say_at = answer.next_at
            return self.room
        if not self.granted:
            self.granted_at = self.now()
        self.granted += answer.count
        self.use_by, self.allowed = answer.use_by, answer.allowed
        self.again_at = now + AGAIN_MS if answer.count < self.wanted else 0
        self.say_at = now + SAY_MS
        return self.room

    @property
    def look_next(self) -> int | None:
        """When there is something to say, by `elapsed`, if nothing happens before."""
        is_waited_for = self.held or self.coming or self.asked
        if self.is_asking or not (self.granted or is_waited_for):
            return None
        return self.again_at if is_waited_for and self.again_at else self.say_at
