"""What happened, counted for Prometheus: the listener and what `/metrics` answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.observe.health import QueueReading
from streams.observe.series import Counters, Histograms

logger = logging.getLogger(__name__)

JOBS: Final = "streams_jobs_total"
WAIT: Final = "streams_job_wait_seconds"
RUN: Final = "streams_job_run_seconds"
RETRIES: Final = "streams_retries_total"
DEAD_LETTERS: Final = "streams_dead_letters_total"
DUPLICATES: Final = "streams_duplicates_dropped_total"
UNDECODABLE: Final = "streams_undecodable_total"
LAG: Final = "streams_queue_lag"
OLDEST_WAITING: Final = "streams_queue_oldest_waiting_seconds"
IN_HAND: Final = "streams_queue_in_hand"

UNKNOWN: Final = "unknown"
"""The name under which jobs are counted that no handler here knows."""

ENDINGS: Final = frozenset(
    {
        Happening.COMPLETED,
        Happening.DISCARDED,
        Happening.CANCELLED,
        Happening.EXPIRED,
        Happening.DEAD,
    }
)

_WAIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
_RUN_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)

Read = Callable[[], Iterable[QueueReading]]


class WorkerMetrics:
    """Counts lifecycle events; reads the queues when it is asked to render.

    `names` are the registry's job names: whatever else arrives is counted as "unknown", so that
    no sender can add series. Not thread-safe in `listen`: the engine calls it from its loop.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        names: Iterable[str],
        read: Read = lambda: (),
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._names = frozenset(names)
        by_name = ("queue", "name")
        self._jobs = Counters(JOBS, "Jobs by how they ended.", (*by_name, "outcome"))
        self._wait = Histograms(
            WAIT,
            "From a job's time, or its due time, to the start of an attempt.",
            by_name,
            _WAIT_BUCKETS,
        )
        self._run = Histograms(
            RUN, "How long an attempt ran, whatever its outcome.", by_name, _RUN_BUCKETS
        )
        self._counters = {
            Happening.RETRYING: Counters(
                RETRIES, "Attempts that failed and are to be retried.", by_name
            ),
            Happening.DEAD: Counters(DEAD_LETTERS, "Jobs that were given up.", by_name),
            Happening.DUPLICATE: Counters(
                DUPLICATES, "Deliveries of jobs that were known already.", by_name
            ),
        }
        self._undecodable = Counters(UNDECODABLE, "Records that are no job.", ("queue",))
        for collector in (
            self._jobs,
            self._wait,
            self._run,
            *self._counters.values(),
            self._undecodable,
            _Queues(read),
        ):
            self.registry.register(collector)

    def listen(self, event: LifecycleEvent) -> None:
        """The listener; an addition for each series that it moves."""
        happening = event.happening
        if happening is Happening.UNDECODABLE:
            self._undecodable.inc((event.queue,))
            return
        queue, name = event.queue, event.name
        if name not in self._names:
            name = UNKNOWN
        if event.waited_ms is not None:
            self._wait.observe((queue, name), event.waited_ms / 1000)
        if event.ran_ms is not None:
            self._run.observe((queue, name), event.ran_ms / 1000)
        if happening in ENDINGS:
            self._jobs.inc((queue, name, happening))
        if happening in self._counters:
            self._counters[happening].inc((queue, name))

    def render(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(_Plain(self.registry))


class _Queues(Collector):
    """The gauges, read at the moment of a scrape."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The families without a reading: registering must not read queues that do not exist."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """One sample for each queue and gauge; what is not known yet has none."""
        lag, oldest, in_hand = families = self._families()
        try:
            readings = tuple(self._read())
        except Exception:  # the counters are worth having without the gauges
            logger.exception("reading the queues failed: their gauges are missing from /metrics")
            return families
        for reading in readings:
            labels = (reading.queue,)
            if reading.lag is not None:
                lag.add_metric(labels, reading.lag)
            if reading.oldest_waiting_ms is not None:
                oldest.add_metric(labels, reading.oldest_waiting_ms / 1000)
            in_hand.add_metric(labels, reading.in_hand)
        return families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        by_queue = ("queue",)
        return (
            GaugeMetricFamily(LAG, "Records not settled or taken over yet.", labels=by_queue),
            GaugeMetricFamily(
                OLDEST_WAITING,
                "For how long the oldest job waits that could run.",
                labels=by_queue,
            ),
            GaugeMetricFamily(IN_HAND, "Jobs admitted and not settled.", labels=by_queue),
        )


class _Plain(Collector):
    """A registry without the `_created` series, which would double the number of counters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """The registry's families."""
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family
