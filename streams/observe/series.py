"""Counters and histograms that cost an addition, and are Prometheus' families when asked.

prometheus-client's own take a lock and check their labels for each sample, which is a tenth of the
time of a short job. These belong to one loop, and are read by it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Counters(Collector):
    """A counter for each combination of labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._values: dict[Labels, int] = {}

    def inc(self, labels: Labels) -> None:
        """One more."""
        try:
            self._values[labels] += 1
        except KeyError:
            self._values[labels] = 1

    def collect(self) -> Iterable[Metric]:
        """The family, with a sample for each combination that was counted."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return [family]


class Histograms(Collector):
    """A histogram for each combination of labels; `bounds` are the upper ends of its buckets."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = tuple(bounds)
        self._series: dict[Labels, list[float]] = {}  # the count of each bucket, and the sum

    def observe(self, labels: Labels, amount: float) -> None:
        """One more sample."""
        try:
            series = self._series[labels]
        except KeyError:
            series = self._series[labels] = [0] * (len(self._bounds) + 2)
        series[bisect_left(self._bounds, amount)] += 1
        series[-1] += amount

    def collect(self) -> Iterable[Metric]:
        """The family; its buckets count what is at or below their bound."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for labels, (*counts, amount) in self._series.items():
            buckets: list[tuple[str, float]] = []
            total = 0.0
            for bound, count in zip(bounds, counts, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric(labels, buckets, amount)
        return [family]
