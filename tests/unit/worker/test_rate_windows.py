"""Rates: what an ask gets follows from the log alone; no window has more starts than allowed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

import pytest
from windows import most_in_any_window

from streams.worker.limit_log import LimitLog
from streams.worker.rate_windows import Ask, decode_ask, use_ms

RATES = [(5, 60_000), (1, 1_000), (10, 1_000), (300, 1_000), (1_000, 60_000), (3, 86_400_000)]


@dataclass
class _Asker:
    """Asks as workers do: one ask at a time, and what it gets is used whenever it may be."""

    windows: LimitLog
    jobs: int
    alive: bool = True
    is_slow: bool = False


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("rate", RATES)
def test_no_window_of_any_schedule_has_more_starts_than_allowed(seed: int, rate: tuple[int, int]):
    rng = random.Random(seed)
    most, per = rate
    askers = [_Asker(LimitLog(), rng.choice([0, 10, 10**9])) for _ in range(4)]
    askers[0].jobs = 10**9
    for asker in askers:
        asker.is_slow = rng.random() < 0.5
    starts = run(rng, askers, most, per, until=12 * per, dies=rng.random() < 0.7)
    assert most_in_any_window(starts, per) <= most


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_nine_tenths_of_a_rate_are_used_while_jobs_wait(rate: tuple[int, int], workers: int):
    rng = random.Random(1)
    most, per = rate
    askers = [_Asker(LimitLog(), 10**9) for _ in range(workers)]
    starts = run(rng, askers, most, per, until=40 * per, dies=False)
    assert most_in_any_window(starts, per) <= most
    assert len(starts) >= 0.9 * most * 40


def run(
    rng: random.Random, askers: list[_Asker], most: int, per: int, *, until: int, dies: bool
) -> list[float]:
    """The real times of all starts."""
    log: list[tuple[bytes, int]] = []
    order = count()
    events: list[tuple[float, int, _Asker]] = [(0.0, next(order), asker) for asker in askers]
    starts: list[float] = []
    died_at = rng.uniform(0, until) if dies else until
    while events and events[0][0] < until:
        now, _, asker = heappop(events)
        if now > died_at and asker is askers[-1] and asker.alive:
            asker.alive = False
            # Who comes instead reads a snapshot, or all of it.
            copy = LimitLog.decode(askers[0].windows.encode()) if rng.random() < 0.5 else LimitLog()
            askers.append(_Asker(copy, asker.jobs))
            heappush(events, (now + rng.uniform(0, per), next(order), askers[-1]))
        if not asker.alive or not asker.jobs:
            continue
        wanted = min(asker.jobs, max(1, -(-most // 10)))
        taken = now + rng.choice([0.01, rng.uniform(0.5, 4)])
        broker = int(taken)
        uses = use_ms(per, rng.choice([0, 0, 50]) if asker.is_slow else 0)
        log.append((Ask(wanted=wanted, most=most, per_ms=per, use_ms=uses).encode(), broker))
        mine = len(log) - 1
        back = taken + rng.choice([0.01, rng.uniform(0.5, 4)])
        got = 0
        for offset in range(asker.windows.position, len(log)):
            value, at = log[offset]
            given = asker.windows.take("r", value, offset, at)
            got = given if offset == mine else got
        asker.jobs -= got
        latest = int(now) + uses
        for _ in range(got):
            # An even clock that shows whole milliseconds says whether it is too late.
            start = rng.choice([back, latest + 0.999]) if asker.is_slow else back
            if int(start) <= latest:
                starts.append(start)
        free_at = asker.windows.free_at("r", most) - broker
        # Whoever asks meanwhile is first, as the broker orders them.
        again = back if free_at <= 0 else max(back, (now + back) / 2 + free_at + 1)
        if asker.is_slow:  # and impatient: it tries too early, and again
            again = max(back + 0.1, again - rng.uniform(0, 6))
        heappush(events, (again + rng.uniform(0, 1), next(order), asker))
    return starts


def test_a_broker_whose_clock_steps_back_gives_nothing_twice():
    windows = LimitLog()
    ask = Ask(wanted=1, most=1, per_ms=1_000, use_ms=40).encode()
    assert windows.take("r", ask, 0, 10_000) == 1
    free_at = windows.free_at("r", 1)
    assert windows.take("r", ask, 1, 9_000) == 0
    assert windows.take("r", ask, 2, free_at) == 1
    assert windows.take("r", ask, 3, 5_000) == 0
    assert windows.free_at("r", 1) >= free_at + 1_000


def test_what_is_no_ask_gets_nothing():
    windows = LimitLog()
    assert decode_ask(b"{}") is None and decode_ask(None) is None
    assert windows.take("r", b"nonsense", 7, 1_000) == 0
    assert windows.position == 8
    assert LimitLog.decode(b"nonsense").position == 0


def test_a_snapshot_goes_on_as_what_it_was_made_from():
    rng = random.Random(3)
    first, at = LimitLog(), 0
    asks = []
    for offset in range(500):
        at += rng.randrange(200)
        ask = Ask(wanted=rng.randrange(1, 9), most=20, per_ms=2_000, use_ms=80).encode()
        asks.append((rng.choice(["a", "b"]), ask, offset, at))
    for each in asks[:300]:
        first.take(*each)
    second = LimitLog.decode(first.encode())
    assert [first.take(*each) for each in asks[300:]] == [second.take(*each) for each in asks[300:]]
