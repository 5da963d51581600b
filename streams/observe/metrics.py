"""What happened, counted for Prometheus: the listener and what `/metrics` answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.observe.health import QueueReading, WorkerReading
from streams.observe.series import Cell, Counters, Durations, Histograms
from streams.observe.sums import SumsCollector, SumsReading
from streams.wire.schedules import Ticked

logger = logging.getLogger(__name__)

JOBS: Final = "streams_jobs_total"
WAIT: Final = "streams_job_wait_seconds"
RUN: Final = "streams_job_run_seconds"
RETRIES: Final = "streams_retries_total"
DEAD_LETTERS: Final = "streams_dead_letters_total"
DEAD_NOW: Final = "streams_dead_letters"
REPLAYS: Final = "streams_replays_total"
DUPLICATES: Final = "streams_duplicates_dropped_total"
UNDECODABLE: Final = "streams_undecodable_total"
LAG: Final = "streams_queue_lag"
OLDEST_WAITING: Final = "streams_queue_oldest_waiting_seconds"
IN_HAND: Final = "streams_queue_in_hand"
ABANDONED: Final = "streams_threads_abandoned_total"
BLOCKED: Final = "streams_loop_blocked_total"
CHECKPOINTS: Final = "streams_checkpoints_total"
TICKS: Final = "streams_schedule_ticks_total"
ABANDONED_NOW: Final = "streams_abandoned_threads"

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

# Upper ends in milliseconds.
_TENTHS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000)
_WAIT_BUCKETS = (*_TENTHS, 1_800_000, 3_600_000)
_RUN_BUCKETS = (1, *_TENTHS, 900_000)

Read = Callable[[], Iterable[QueueReading]]


@dataclass(slots=True)
class _Tally:
    """What is counted of the jobs of one name in one queue."""

    waits: Durations | None = None
    runs: Durations | None = None
    cells: dict[Happening, tuple[Cell, ...]] = field(default_factory=dict)


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
        read_worker: Callable[[], WorkerReading] = WorkerReading,
        read_sums: Callable[[], Iterable[SumsReading]] = lambda: (),
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
            Happening.REPLAYED: Counters(REPLAYS, "Dead jobs that were replayed.", by_name),
            Happening.DUPLICATE: Counters(
                DUPLICATES, "Deliveries of jobs that were known already.", by_name
            ),
            Happening.CHECKPOINTED: Counters(
                CHECKPOINTS, "Checkpoints that handlers kept, durably.", by_name
            ),
            Happening.ABANDONED: Counters(
                ABANDONED, "Threads that went on though their attempt was over.", by_name
            ),
        }
        self._undecodable = Counters(UNDECODABLE, "Records that are no job.", ("queue",))
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self._blocked = Counters(
            BLOCKED, "How often a handler blocked the event loop for more than 100 ms.", ("name",)
        )
        self._ticks = Counters(
            TICKS,
            "Ticks of schedules: enqueued; missed, as nobody was there; missed and not run.",
            ("schedule", "outcome"),
        )
        for collector in (
            self._jobs,
            self._wait,
            self._run,
            *self._counters.values(),
            self._undecodable,
            self._blocked,
            self._ticks,
            _Queues(read),
            _Worker(read_worker),
            SumsCollector(read_sums),
        ):
            self.registry.register(collector)

    def listen(self, event: LifecycleEvent) -> None:
        """The listener; an addition for each series that it moves."""
        happening = event.happening
        labels = (event.queue, event.name if event.name in self._names else UNKNOWN)
        tally = self._tallies.get(labels)
        if tally is None:
            tally = self._tallies[labels] = _Tally()
        if event.waited_ms is not None:
            if tally.waits is None:
                tally.waits = self._wait.durations(labels)
            tally.waits.observe(event.waited_ms)
        if event.ran_ms is not None:
            if tally.runs is None:
                tally.runs = self._run.durations(labels)
            tally.runs.observe(event.ran_ms)
        cells = tally.cells.get(happening)
        if cells is None:
            cells = tally.cells[happening] = self._cells(happening, labels)
        for cell in cells:
            cell.value += 1

    def _cells(self, happening: Happening, labels: tuple[str, str]) -> tuple[Cell, ...]:
        """What counts this."""
        if happening is Happening.UNDECODABLE:
            return (self._undecodable.cell(labels[:1]),)
        ending = [self._jobs.cell((*labels, happening))] if happening in ENDINGS else []
        others = self._counters.get(happening)
        return (*ending, *([] if others is None else [others.cell(labels)]))

    def count_blocked(self, name: str | None) -> None:
        """The loop was blocked by this job's handler; None: nobody knows by whose."""
        self._blocked.inc((name if name in self._names else UNKNOWN,))

    def count_ticks(self, schedule: str, since: Ticked) -> None:
        """What became of a schedule's ticks since the last call; an operator may have added it."""
        for outcome, number in (
            ("enqueued", since.fired),
            ("missed", since.missed),
            ("skipped", since.skipped),
        ):
            self._ticks.inc((schedule, outcome), number)

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
        lag, oldest, in_hand, dead = families = self._families()
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
            dead.add_metric(labels, reading.dead)
        return families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, ...]:
        by_queue = ("queue",)
        return (
            GaugeMetricFamily(LAG, "Records not settled or taken over yet.", labels=by_queue),
            GaugeMetricFamily(
                OLDEST_WAITING,
                "For how long the oldest job waits that could run.",
                labels=by_queue,
            ),
            GaugeMetricFamily(IN_HAND, "Jobs admitted and not settled.", labels=by_queue),
            GaugeMetricFamily(
                DEAD_NOW, "Dead jobs whose letters nobody has resolved.", labels=by_queue
            ),
        )


class _Worker(Collector):
    """The gauges of the worker itself, read at the moment of a scrape."""

    def __init__(self, read: Callable[[], WorkerReading]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The families without a reading."""
        return (self._family(),)

    def collect(self) -> Iterable[Metric]:
        """One sample each."""
        family = self._family()
        try:
            family.add_metric((), self._read().abandoned_threads)
        except Exception:
            logger.exception("reading the worker failed: its gauges are missing from /metrics")
        return (family,)

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily(
            ABANDONED_NOW, "Threads that go on though their attempts are over.", labels=()
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
