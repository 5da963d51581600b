"""Slots of the cluster: never more than there are, each worker has its turn, none is lost."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

import pytest

from streams.worker.cluster_slots import ClusterSlots
from streams.worker.limit_asks import Answer
from streams.worker.limit_log import LimitLog
from streams.worker.slot_shares import SlotAsk, SlotShares, decode_slot_ask, fair_shares

LEASE_MS = 30_000
NAME = "slots:x"


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def ms(self) -> int:
        return int(self.now)


@dataclass(eq=False)
class _Worker:
    """Runs jobs within the slots that it has, as the executor does."""

    name: str
    limit: ClusterSlots
    log: LimitLog
    jobs: int
    skew: float = 0.0  # of its even clock
    alive: bool = True
    running: int = 0
    done: int = 0
    waits_since: float | None = None
    longest_wait: float = 0.0
    sent: list[SlotAsk] = field(default_factory=list)


def worker(name: str, jobs: int, most: int, time: Time, rng: random.Random) -> _Worker:
    skew = rng.uniform(0, 10**6)
    limit = ClusterSlots(
        name=NAME,
        now=time.ms,
        most=most,
        worker=name,
        lease_ms=LEASE_MS,
        elapsed=lambda: int(time.now + skew),
    )
    return _Worker(name, limit, LimitLog(), jobs, skew)


class Simulation:
    """Workers, a broker, and jobs that take some time; all of it in order of time."""

    def __init__(self, rng: random.Random, most: int, workers: int, takes: float) -> None:
        self.rng = rng
        self.time = Time()
        self.most = most
        self.takes = takes
        self.records: list[tuple[bytes, int]] = []
        self.most_at_once = 0
        self.started: Counter[str] = Counter()
        self._order = count()
        self._events: list[tuple[float, int, object, _Worker, object]] = []
        self.workers = [worker(f"w{n}", 10**6, most, self.time, rng) for n in range(workers)]
        for each in self.workers:
            self.at(rng.uniform(0, 100), self.look, each)

    def at(self, after: float, what: object, of: _Worker, arg: object = None) -> None:
        heappush(self._events, (self.time.now + after, next(self._order), what, of, arg))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            self.time.now, _, what, of, arg = heappop(self._events)
            if of.alive:
                what(of, arg) if arg is not None else what(of)  # type: ignore[operator]
        self.time.now = until

    def look(self, of: _Worker) -> None:
        limit = of.limit
        while of.jobs > of.running and limit.room:
            limit.running += 1
            of.running += 1
            self.started[of.name] += 1
            at_once = sum(each.running for each in self.workers if each.alive)
            self.most_at_once = max(self.most_at_once, at_once)
            self.at(self.rng.uniform(0.5, 1.5) * self.takes, self.end, of)
        limit.coming = of.jobs - of.running
        ask = limit.next_ask(100)
        if ask is not None:
            assert ask.holds >= of.running
            self.at(self.rng.uniform(0.1, 5), self.write, of, (ask, self.time.now))
        elif (at := limit.look_next) is not None:
            after = at - of.skew - self.time.now
            if after > 0:
                self.at(after + 1, self.look, of)

    def write(self, of: _Worker, sent: tuple[SlotAsk, float]) -> None:
        self.records.append((sent[0].encode(), self.time.ms()))
        mine = len(self.records) - 1
        self.at(self.rng.uniform(0.1, 5), self.answer, of, (*sent, mine))

    def answer(self, of: _Worker, asked: tuple[SlotAsk, float, int]) -> None:
        ask, sent, mine = asked
        given = {
            offset: of.log.take(NAME, *self.records[offset][:1], offset, self.records[offset][1])
            for offset in range(of.log.position, len(self.records))
        }
        answer = Answer(
            count=given[mine],
            use_by=int(sent + of.skew) + LEASE_MS,
            next_at=of.limit.elapsed(),
            allowed=of.log.allowed(NAME, ask.by),
        )
        of.limit.answered(answer)
        self.look(of)

    def end(self, of: _Worker) -> None:
        of.running -= 1
        of.limit.running -= 1
        of.jobs -= 1
        of.done += 1
        self.look(of)


@pytest.mark.parametrize("seed", range(40))
def test_no_more_run_at_once_than_the_cluster_has_slots_whoever_dies(seed: int) -> None:
    rng = random.Random(seed)
    most = rng.choice([1, 2, 3, 7, 20])
    takes = rng.choice([100.0, 3_000.0, 50_000.0])
    tested = Simulation(rng, most, rng.choice([1, 2, 3, 8]), takes)
    for at in range(20_000, 160_000, 20_000):
        tested.run(at)
        dies = rng.random() < 0.5
        if dies:
            rng.choice(tested.workers).alive = False
        if dies or rng.random() < 0.3:  # who comes later reads a snapshot, or all of it
            new = worker(f"n{at}", 10**6, most, tested.time, rng)
            if rng.random() < 0.5:
                new.log = LimitLog.decode(tested.workers[-1].log.encode())
            tested.workers.append(new)
            tested.at(rng.uniform(0, 2_000), tested.look, new)
    assert tested.most_at_once <= most
    tested.run(160_000 + 2 * LEASE_MS + 2 * int(takes))
    if any(each.alive for each in tested.workers):  # what the dead had is used again
        alive = sum(each.running for each in tested.workers if each.alive)
        assert tested.most_at_once == most
        assert alive >= most - 1 or takes < 1_000


@pytest.mark.parametrize(("most", "workers"), [(1, 2), (1, 5), (3, 2), (2, 3), (10, 4)])
@pytest.mark.parametrize("takes", [20.0, 400.0])
def test_workers_that_wait_all_have_their_share_and_little_is_lost(
    most: int, workers: int, takes: float
) -> None:
    tested = Simulation(random.Random(1), most, workers, takes)
    tested.run(300_000)
    assert tested.most_at_once <= most
    possible = most * 300_000 / takes
    assert sum(tested.started.values()) > 0.7 * possible
    shares = [tested.started[each.name] for each in tested.workers]
    assert min(shares) > 0.5 * sum(shares) / workers


def test_what_is_not_used_any_more_is_given_back_at_once_when_others_wait() -> None:
    tested = Simulation(random.Random(2), 4, 2, 50.0)
    tested.workers[0].jobs = 40
    tested.run(60_000)
    assert tested.workers[0].done == 40 and tested.workers[0].limit.granted == 0
    assert tested.workers[1].limit.granted == 4


def ask(by: str, number: int, holds: int, wants: int) -> SlotAsk:
    return SlotAsk(by=by, number=number, holds=holds, wants=wants, most=3, lease_ms=LEASE_MS)


def test_an_ask_that_comes_late_says_nothing() -> None:
    shares = SlotShares()
    assert shares.take(ask("a", 1, 0, 3), 1_000) == 3
    assert shares.take(ask("a", 2, 3, 0), 1_010) == 0
    assert shares.take(ask("a", 1, 0, 3), 1_020) == 0
    assert shares.take(ask("b", 1, 0, 1), 1_030) == 0
    assert shares.allowed("a") == 2 and shares.allowed("b") is None


def test_what_a_worker_had_is_free_when_it_was_not_heard_of_for_its_lease() -> None:
    shares = SlotShares()
    assert shares.take(ask("a", 1, 0, 2), 1_000) == 2
    assert shares.take(ask("b", 1, 0, 3), 1_000 + LEASE_MS - 1) == 1
    assert shares.take(ask("b", 2, 1, 2), 1_000 + LEASE_MS) == 2
    # It says what runs in it still, and gets nothing more.
    assert shares.take(ask("a", 2, 2, 1), 1_001 + LEASE_MS) == 0


def test_what_is_no_ask_for_slots_gets_nothing() -> None:
    assert decode_slot_ask(None) is None and decode_slot_ask(b"{}") is None
    negative = ask("a", 1, 0, 1).encode().replace(b'"holds":0', b'"holds":-1')
    assert decode_slot_ask(negative) is None
    log = LimitLog()
    assert log.take(NAME, negative, 4, 1_000) == 0 and log.position == 5


@pytest.mark.parametrize(
    ("wanted", "most", "turn", "shares"),
    [
        ({"a": 9, "b": 9}, 4, 0, {"a": 2, "b": 2}),
        ({"a": 1, "b": 9}, 4, 0, {"a": 1, "b": 3}),
        ({"a": 9, "b": 9}, 3, 0, {"a": 2, "b": 1}),
        ({"a": 9, "b": 9}, 3, 1, {"a": 1, "b": 2}),
        ({"a": 9, "b": 9, "c": 0}, 1, 0, {"a": 1, "b": 0, "c": 0}),
        ({"a": 2, "b": 1}, 10, 7, {"a": 2, "b": 1}),
        ({}, 10, 7, {}),
    ],
)
def test_who_gets_how_many(
    wanted: dict[str, int], most: int, turn: int, shares: dict[str, int]
) -> None:
    assert fair_shares(wanted, most, turn) == shares
