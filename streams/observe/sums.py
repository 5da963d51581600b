"""What became of the jobs of each partition, as its owner counts them with its state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

AUDIT_JOBS: Final = "streams_audit_jobs"
AUDIT_UNACCOUNTED: Final = "streams_audit_unaccounted"

NOT_ACCEPTED: Final = ("duplicates", "forwarded", "undecodable")
"""States of AUDIT_JOBS that are records beside those that were accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsReading:
    """One partition."""

    queue: str
    partition: int
    jobs: Mapping[str, int]  # accepted, and by state
    unaccounted: int


class SumsCollector(Collector):
    """The gauges, read at the moment of a scrape: nothing is counted for them."""

    def __init__(self, read: Callable[[], Iterable[SumsReading]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The families without a reading."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """One sample for each partition and state."""
        jobs, unaccounted = families = self._families()
        try:
            readings = tuple(self._read())
        except Exception:  # the counters are worth having without the gauges
            logger.exception("reading the sums failed: their gauges are missing from /metrics")
            return families
        for reading in readings:
            place = (reading.queue, str(reading.partition))
            for state, count in reading.jobs.items():
                jobs.add_metric((*place, state), count)
            unaccounted.add_metric(place, reading.unaccounted)
        return families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        place = ("queue", "partition")
        return (
            GaugeMetricFamily(
                AUDIT_JOBS,
                "Jobs taken from their queue, and what became of them, as state has it.",
                labels=(*place, "state"),
            ),
            GaugeMetricFamily(
                AUDIT_UNACCOUNTED,
                "How many more were taken than are over, dead or pending: 0.",
                labels=place,
            ),
        )
