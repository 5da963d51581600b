"""How much happened in any window of time, for tests of rates of every kind."""

from __future__ import annotations

from collections.abc import Sequence


def most_in_any_window(times: Sequence[float], span: float) -> int:
    """The most of them in [t, t + span) for any t."""
    times = sorted(times)
    first = most = 0
    for last, time in enumerate(times):
        while times[first] <= time - span:
            first += 1
        most = max(most, last - first + 1)
    return most
