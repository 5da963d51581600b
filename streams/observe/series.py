"""Counters, gauges and histograms that cost an addition, and are Prometheus' families when asked.

prometheus-client's own take a lock and check their labels for each sample, which is a tenth of the
time of a short job. Of these, whoever counts holds the cells. They belong to one loop, and are read
by it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Cell:
    """One number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Cells(Collector):
    """A number for each combination of labels."""

    family: ClassVar[Callable[..., CounterMetricFamily | GaugeMetricFamily]]

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._cells: dict[Labels, Cell] = {}

    def cell(self, labels: Labels) -> Cell:
        """The number of these labels, from 0."""
        return self._cells.setdefault(labels, Cell())

    def collect(self) -> Iterable[Metric]:
        """The family, with a sample for each combination that there is."""
        family = self.family(self._name, self._documentation, labels=self._labels)
        for labels, cell in self._cells.items():
            family.add_metric(labels, cell.value)
        return [family]


class Counters(Cells):
    """Counters, which only grow."""

    family = CounterMetricFamily

    def inc(self, labels: Labels, by: int = 1) -> None:
        """One more, or several."""
        self.cell(labels).value += by


class Gauges(Cells):
    """Numbers that are set."""

    family = GaugeMetricFamily


class Durations:
    """One histogram of milliseconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds: Final = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, ms: int) -> None:
        """One more sample."""
        self.counts[bisect_left(self.bounds, ms)] += 1
        self.total += ms


class Histograms(Collector):
    """A histogram of seconds for each combination of labels.

    `bounds` are the upper ends of its buckets, in milliseconds.
    """

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[int]
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = tuple(bounds)
        self._all: dict[Labels, Durations] = {}

    def durations(self, labels: Labels) -> Durations:
        """The histogram of these labels, empty at first."""
        return self._all.setdefault(labels, Durations(self._bounds))

    def collect(self) -> Iterable[Metric]:
        """The family; its buckets count what is at or below their bound."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        bounds = [*(str(bound / 1000) for bound in self._bounds), "+Inf"]
        for labels, durations in self._all.items():
            buckets: list[tuple[str, float]] = []
            total = 0
            for bound, count in zip(bounds, durations.counts, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric(labels, buckets, durations.total / 1000)
        return [family]
