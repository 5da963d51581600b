"""What happened, counted for Prometheus: the listener and what `/metrics` answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.observe.gauges import QueueGauges, WorkerGauges
from streams.observe.health import QueueReading, WorkerReading
from streams.observe.series import Cell, Counters, Durations, Gauges, Histograms
from streams.observe.sums import SumsCollector, SumsReading
from streams.wire.schedules import Ticked

JOBS: Final = "streams_jobs_total"
WAIT: Final = "streams_job_wait_seconds"
RUN: Final = "streams_job_run_seconds"
RETRIES: Final = "streams_retries_total"
DEAD_LETTERS: Final = "streams_dead_letters_total"
REPLAYS: Final = "streams_replays_total"
DUPLICATES: Final = "streams_duplicates_dropped_total"
UNDECODABLE: Final = "streams_undecodable_total"
ABANDONED: Final = "streams_threads_abandoned_total"
BLOCKED: Final = "streams_loop_blocked_total"
CHECKPOINTS: Final = "streams_checkpoints_total"
TICKS: Final = "streams_schedule_ticks_total"
MISSED_AT: Final = "streams_schedule_missed_timestamp_seconds"
LOOP_LAG: Final = "streams_loop_lag_seconds"

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
_LAG_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)

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
        now: Callable[[], float] = time.time,
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._names = frozenset(names)
        self._now = now
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
        self._loop_lag = Histograms(
            LOOP_LAG, "How much later than it was to the event loop turned.", (), _LAG_BUCKETS
        )
        self._lags = self._loop_lag.durations(())
        self._ticks = Counters(
            TICKS,
            "Ticks of schedules: enqueued; missed, as nobody was there; missed and not run.",
            ("schedule", "outcome"),
        )
        ProcessCollector(registry=self.registry)  # memory, processor time, start
        self._missed = Gauges(
            MISSED_AT,
            "When this worker found last that ticks were missed, in seconds since the epoch.",
            ("schedule",),
        )
        for collector in (
            self._jobs,
            self._wait,
            self._run,
            *self._counters.values(),
            self._undecodable,
            self._blocked,
            self._ticks,
            self._missed,
            self._loop_lag,
            QueueGauges(read),
            WorkerGauges(read_worker),
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

    def expect(self, queue: str, name: str) -> None:
        """Count from 0 what may become of these jobs.

        Prometheus sees no increase in the first value of a series: without this, the first dead
        job after a start would alarm nobody.
        """
        labels = (queue, name)
        tally = self._tallies.setdefault(labels, _Tally())
        for happening in (*ENDINGS, *self._counters):
            tally.cells[happening] = self._cells(happening, labels)
        self._undecodable.cell((queue,))
        self._blocked.cell((name,))

    def observe_lag(self, late_ms: int) -> None:
        """The loop turned so much later than it was to."""
        self._lags.observe(late_ms)

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
        if since.missed:
            self._missed.cell((schedule,)).value = int(self._now())

    def render(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(_Plain(self.registry))


class _Plain(Collector):
    """A registry without the `_created` series, which would double the number of counters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """The registry's families."""
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family
