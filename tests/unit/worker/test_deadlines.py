"""Timeouts behind one alarm: each at its time, and what is over leaves nothing behind."""

from __future__ import annotations

import random

from streams.testing.memory import MemoryClock
from streams.worker.deadlines import SPARE, Deadlines


def test_each_overruns_at_its_time_unless_it_is_over():
    chance = random.Random(7)
    clock = MemoryClock()
    start = clock.now()
    due = {n: start + chance.randrange(1, 1_000) for n in range(300)}
    over = {n for n in due if chance.random() < 0.5}
    overran: dict[int, int] = {}

    def overrun(n: int) -> None:
        overran[n] = clock.now()

    deadlines = Deadlines(clock, lambda n: n in over or n in overran, overrun)
    for n, when in due.items():
        deadlines.add(when, n, len(due))
    for now in range(start, start + 1_001):
        clock.set(now)
    assert overran == {n: when for n, when in due.items() if n not in over}
    assert clock.next_alarm() is None


def test_what_is_over_does_not_pile_up():
    clock = MemoryClock()
    deadlines = Deadlines[int](clock, lambda n: True, lambda n: None)
    for n in range(10 * SPARE):
        deadlines.add(clock.now() + 60_000, n, 1)
        assert len(deadlines._heap) <= SPARE + 3


def test_when_nothing_runs_there_is_no_alarm():
    clock = MemoryClock()
    deadlines = Deadlines[int](clock, lambda n: False, lambda n: None)
    deadlines.add(clock.now() + 60_000, 1, 1)
    deadlines.clear()
    assert clock.next_alarm() is None
