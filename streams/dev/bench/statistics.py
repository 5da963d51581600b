"""Medians, percentiles and rates. Pure."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.dev.bench.bench import Figures
from streams.errors import StreamsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time in which records were written, by their timestamps; milliseconds."""

    first: int
    last: int
    records: int  # those after the first timestamp: what was done within the window

    @property
    def per_second(self) -> float:
        """Records for each second of the window."""
        return self.records * 1000 / max(self.last - self.first, 1)


def window_of(stamps: Mapping[int, int]) -> Window:
    """The window of `stamps`, a count of records for each timestamp.

    A batch bears one timestamp. The first one's records were worked on before the window began,
    so they open it and are not counted in it.

    Raises:
        StreamsError: all records bear one timestamp, which gives no rate.
    """
    if len(stamps) < 2:
        raise StreamsError("too few jobs to tell a rate: give more of them with --jobs")
    first = min(stamps)
    return Window(first=first, last=max(stamps), records=sum(stamps.values()) - stamps[first])


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that is not exceeded by `percent` of them (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values, no percentile")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure over rounds, which all have the same figures.

    A figure that one round lacks (None) is None.
    """
    merged: dict[str, Any] = {}
    for name in rounds[0]:
        values: list[Any] = [figures[name] for figures in rounds]
        if any(value is None for value in values):
            merged[name] = None
        elif isinstance(values[0], Mapping):
            merged[name] = medians(values)
        else:
            merged[name] = statistics.median(values)
    return merged


def tidy(figures: Figures) -> dict[str, Any]:
    """Figures with as many digits as they deserve: whole from 100 on, else three."""
    return {
        name: tidy(value) if isinstance(value, Mapping) else _rounded(value)
        for name, value in figures.items()
    }


def _rounded(value: float | None) -> float | None:
    if value is None or value == 0:
        return value
    if abs(value) >= 100:
        return round(value)
    return round(value, 2 - math.floor(math.log10(abs(value))))


def interpolate(samples: Sequence[tuple[float, float]], at: float) -> float | None:
    """The value at a time between two samples (time, value) in order; None outside them."""
    if not samples or not samples[0][0] <= at <= samples[-1][0]:
        return None
    place = bisect.bisect_left(samples, at, key=lambda sample: sample[0])
    time, value = samples[place]
    if time == at:
        return value
    time_before, value_before = samples[place - 1]
    return value_before + (value - value_before) * (at - time_before) / (time - time_before)
