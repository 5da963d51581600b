"""Looks at limits again: asks for what the cluster has, lets those go whose time has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from streams.worker.attempt import Attempt
from streams.worker.cluster_rate import Rate
from streams.worker.cluster_slots import ClusterSlots
from streams.worker.limit_asks import Answer
from streams.worker.limits import Limits
from streams.worker.ports import Alarm, Clock
from streams.worker.rate_windows import Ask
from streams.worker.slot_shares import SlotAsk
from streams.worker.slots import Slots

PATIENCE_MS: Final = 1_000  # with an answer for which slots are kept free

# See `LimitAsks.ask`.
AskCluster = Callable[[str, Ask | SlotAsk, Callable[[Answer], None]], None]


class LimitLooks:
    """Of all limits of a worker; `start_next` and `go_on` start what has room now."""

    def __init__(
        self,
        limits: Limits,
        slots: Mapping[str, Slots],
        clock: Clock,
        *,
        ask_cluster: AskCluster | None,
        may_start: Callable[[], bool],
        start_next: Callable[[Slots], None],
        go_on: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._slots = slots
        self._clock = clock
        self._ask_cluster = ask_cluster
        self._may_start = may_start
        self._start_next = start_next
        self._go_on = go_on
        self._cluster_alarm: Alarm | None = None
        self._cluster_alarm_at: int | None = None  # by `elapsed`
        self._keys_alarm: Alarm | None = None
        self._keys_alarm_at: int | None = None
        self._patience: dict[str, Alarm] = {}  # with the logs of limits that are asked
        self._late: set[str] = set()  # those whose last answer did not come in time
        self._is_due = False  # somebody looks once this step of the loop is through

    def look_soon(self) -> None:
        """Look once for all that starts and ends in this step of the loop."""
        if not self._is_due and self._limits.are_looked_at:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._is_due = False
        self.look()

    def look(self) -> None:
        """Ask for what limits have room for, and look at those later that will have room."""
        for holder, limit, count in self._limits.ask():
            holder.let_in(limit, count)
        self._turn_away()
        self._look_at_cluster()
        self._look_at_times()

    def _look_at_times(self) -> None:
        at = self._limits.next_look()
        if at == self._keys_alarm_at:
            return
        if self._keys_alarm is not None:
            self._keys_alarm.cancel()
            self._keys_alarm = None
        self._keys_alarm_at = at
        if at is not None:
            self._keys_alarm = self._clock.call_at(at, self._let_go)

    def _let_go(self) -> None:
        self._keys_alarm, self._keys_alarm_at = None, None
        for waiting in self._limits.let_go():
            assert isinstance(waiting, Attempt)  # turns of tenants are not kept for keys
            self._slots[waiting.definition.runs_in].let_go(waiting)
        self._go_on()

    def ask_first(self) -> None:
        """Ask for what jobs wait for before free slots are given to others.

        Slots are kept free for what is asked for: a backlog of what needs no asking would take them
        all, for ever.
        """
        for limit in self._limits.of_cluster.values():
            if not limit.is_asking and (limit.held or limit.asked):
                self._ask(limit)

    def _look_at_cluster(self) -> None:
        """Ask for what jobs wait for, and say what is held, now or when it is time."""
        if not self._limits.of_cluster:
            return
        next_at: int | None = None
        now = self._clock.elapsed()
        for limit in self._limits.of_cluster.values():
            if not self._ask(limit) and (at := limit.look_next) is not None and at > now:
                next_at = at if next_at is None else min(next_at, at)
        self._look_at_cluster_at(next_at)

    def _turn_away(self) -> None:
        """Send those to their open tables who will not go on soon, as is known by now."""
        limits = [each for each in self._limits.of_cluster.values() if each.held]
        for limit in limits:
            if isinstance(limit, ClusterSlots) and (too_many := [*limit.excess()]):
                slots = self._slots[limit.runs_in]
                slots.turned_away += [(attempt, limit) for attempt in reversed(too_many)]
                self._start_next(slots)

    def _ask(self, limit: Rate | ClusterSlots) -> bool:
        """Whether there was something to ask for, or to say."""
        if self._ask_cluster is None:
            return False
        slots = self._slots[limit.runs_in]
        may_start = self._may_start() and not _is_paused(limit, slots)
        free = max(0, slots.free - slots.promised) if may_start else 0
        ask = limit.next_ask(free)
        if ask is None:
            return False
        wants = ask.wants if isinstance(ask, SlotAsk) else ask.wanted
        if limit.name not in self._late:
            self._reserve(limit, slots, min(wants, free, len(limit.held)))
        self._ask_cluster(limit.name, ask, partial(self._answered, limit))
        return True

    def _reserve(self, limit: Rate | ClusterSlots, slots: Slots, count: int) -> None:
        """Keep slots free for what is asked for: a start must not wait for one."""
        if count:
            limit.reserved = count
            slots.free -= count
            until = self._clock.now() + PATIENCE_MS
            self._patience[limit.name] = self._clock.call_at(until, partial(self._give_up, limit))

    def _give_up(self, limit: Rate | ClusterSlots) -> None:
        """Its log does not answer: others may have the slots until it does so again."""
        self._late.add(limit.name)
        slots = self._slots[limit.runs_in]
        self._release(limit, slots)
        self._start_next(slots)

    def _release(self, limit: Rate | ClusterSlots, slots: Slots) -> None:
        slots.free += limit.reserved
        limit.reserved = 0
        patience = self._patience.pop(limit.name, None)
        if patience is not None:
            patience.cancel()

    def _look_at_cluster_at(self, at: int | None) -> None:
        if at == self._cluster_alarm_at:
            return
        if self._cluster_alarm is not None:
            self._cluster_alarm.cancel()
            self._cluster_alarm = None
        self._cluster_alarm_at = at
        if at is not None:
            after = max(1, at - self._clock.elapsed())
            self._cluster_alarm = self._clock.call_at(self._clock.now() + after, self._ask_again)

    def _ask_again(self) -> None:
        self._cluster_alarm, self._cluster_alarm_at = None, None
        self._go_on()

    def _answered(self, limit: Rate | ClusterSlots, answer: Answer) -> None:
        slots = self._slots[limit.runs_in]
        self._release(limit, slots)
        if answer.has_failed:
            self._late.add(limit.name)
        else:
            self._late.discard(limit.name)
        for _ in range(min(limit.answered(answer), len(limit.held))):
            slots.grant(limit.let_go())
        self._start_next(slots)


def _is_paused(limit: Rate | ClusterSlots, slots: Slots) -> bool:
    """Whether nobody who waits could use what it would get: it would be lost, all of it by and by.

    Jobs may have been sent to other queues than their definition's.
    """
    paused = slots.paused
    return limit.queue in paused and all(waiting.queue in paused for waiting in limit.held)
