"""Seeded schedules hold every guarantee."""

from __future__ import annotations

from streams.testing.simulator import simulate


def test_a_seed_replays_exactly():
    first, second = (simulate(7, tracing=True) for _ in range(2))
    assert first == second
