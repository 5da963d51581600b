"""Rates of keys in one worker: what started is known once, and while the partition is its own."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import attempt, definition_of
from windows import most_in_any_window

from streams import JobPayload, RateLimit, job
from streams.worker import key_rate
from streams.worker.attempt import Attempt
from streams.worker.key_rate import IDLE_KEYS
from streams.worker.limit import Group
from streams.worker.limits import Limits
from streams.worker.slots import Slots

MOST, PER_MS = 3, 10_000


class Step(JobPayload, name="key_rate_step", key="k"):
    k: int


@job(rate_limit=RateLimit(MOST, per="10s", by="key"))
async def step(payload: Step) -> None: ...


class Owner:
    """A partition, and what its state says."""

    def __init__(self) -> None:
        self.started: dict[str, list[int]] = defaultdict(list)
        self.reads = 0

    def let_in(self, limit: str, count: int) -> None: ...

    def read(self, key: str) -> Iterator[int]:
        self.reads += 1
        yield from list(self.started[key])


class Worker:
    """Takes jobs of keys in hand, and lets them start if their rates allow it."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.limits = Limits(lambda: self.now)
        self.slots = Slots(1_000_000, limits=self.limits)
        self.owner = Owner()

    def take(self, key: str) -> Attempt:
        taken = attempt(definition_of(step), f"{key}-{self.now}", key)
        self.limits.enter(taken, self.owner.read(key), self.owner)
        return taken

    def run(self, key: str) -> bool:
        """Whether it could start; then it also ends."""
        taken = self.take(key)
        may = self.slots.may_start(taken)
        if may:
            self.slots.take(taken)
            self.owner.started[key].append(self.now)
            self.slots.give_back(taken)
        self.limits.leave(taken)
        return may


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6_000), st.integers(0, 9)), max_size=80)
)
def test_it_starts_whenever_it_may_and_never_else(steps: list[tuple[int, int, int]]):
    worker = Worker()
    for key, passed, chance in steps:
        worker.now += passed
        if chance == 0:
            worker.limits.withdraw(worker.owner)
        started = worker.owner.started[str(key)]
        recent = [at for at in started if at + PER_MS + 1 > worker.now]
        assert worker.run(str(key)) == (len(recent) < MOST)
    for started in worker.owner.started.values():
        assert most_in_any_window(started, PER_MS) <= MOST


def test_a_window_counts_from_where_the_handler_begins():
    worker = Worker()
    begun = []
    for delay in (40, 0, 15):
        taken = worker.take("a")
        worker.slots.take(taken)
        worker.now += delay  # others run before it
        taken.key_rate.begin(taken, worker.now)
        begun.append(worker.now)
        worker.slots.give_back(taken)
        worker.limits.leave(taken)
        worker.now += 100
    last = worker.take("a")
    worker.now = begun[0] + PER_MS
    assert not worker.slots.may_start(last)
    worker.now += 1
    assert worker.slots.may_start(last)


def test_state_is_read_once_while_the_partition_is_its_own():
    worker = Worker()
    for _ in range(5):
        worker.run("a")
        worker.now += 100
    assert worker.owner.reads == 1
    worker.limits.withdraw(worker.owner)
    worker.run("a")
    assert worker.owner.reads == 2


def test_of_very_many_keys_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(key_rate, "IDLE_KEYS", 10)
    worker = Worker()
    for n in range(100):
        worker.run(str(n))
    assert worker.owner.reads == 100
    for n in range(90, 100):
        worker.run(str(n))
    assert worker.owner.reads == 100
    worker.run("0")
    assert worker.owner.reads == 101


def test_keys_that_are_gone_leave_nothing():
    worker = Worker()
    before = sum(type(each) is Group for each in gc.get_objects())
    for n in range(300):
        worker.run(str(n))
    assert sum(type(each) is Group for each in gc.get_objects()) <= before + 1
    assert IDLE_KEYS < 100_000  # each has some hundred bytes
