"""The timeouts of all attempts that run, behind one alarm."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

from streams.worker.ports import Alarm, Clock

T = TypeVar("T")

SPARE = 1_000  # entries of what is over that may lie in the heap before it is swept


class Deadlines(Generic[T]):
    """Calls `overran` for what is not over at its time; `is_over` says what is.

    Most attempts end long before: an alarm for each would cost more than a short job. So what is
    over stays in the heap until it is half of it: it must not hold much.
    """

    def __init__(
        self, clock: Clock, is_over: Callable[[T], bool], overran: Callable[[T], None]
    ) -> None:
        self._clock = clock
        self._is_over = is_over
        self._overran = overran
        self._heap: list[tuple[int, int, T]] = []
        self._numbers = count()
        self._alarm: Alarm | None = None
        self._alarm_at = 0

    def add(self, when: int, item: T, running: int) -> None:
        """Watch an item; `running` of all items are not over."""
        if len(self._heap) > 2 * running + SPARE:
            self._heap = [entry for entry in self._heap if not self._is_over(entry[2])]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (when, next(self._numbers), item))
        if self._alarm is None or when < self._alarm_at:
            self._set_alarm(when)

    def clear(self) -> None:
        """Nothing runs."""
        self._heap.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self, when: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = self._clock.call_at(when, self._look), when

    def _look(self) -> None:
        self._alarm = None
        now = self._clock.now()
        heap = self._heap
        while heap and (heap[0][0] <= now or self._is_over(heap[0][2])):
            _, _, item = heapq.heappop(heap)
            if not self._is_over(item):
                self._overran(item)
        if heap:
            self._set_alarm(heap[0][0])
