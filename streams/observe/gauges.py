"""How queues and the worker stand: gauges that are read at the moment of a scrape."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streams.observe.health import QueueReading, WorkerReading
from streams.version import VERSION

logger = logging.getLogger(__name__)

LAG: Final = "streams_queue_lag"
OLDEST_WAITING: Final = "streams_queue_oldest_waiting_seconds"
IN_HAND: Final = "streams_queue_in_hand"
ACTIVE: Final = "streams_queue_active"
HELD: Final = "streams_queue_held"
OPEN: Final = "streams_open_jobs"
DEAD_NOW: Final = "streams_dead_letters"
PARTITIONS: Final = "streams_queue_partitions"
COMMIT_AGE: Final = "streams_queue_commit_age_seconds"
PAUSED: Final = "streams_queue_paused"
INFO: Final = "streams_worker_info"
SLOTS: Final = "streams_worker_slots"
BUSY: Final = "streams_worker_slots_busy"
NEXT_TICK: Final = "streams_schedule_next_timestamp_seconds"
ABANDONED_NOW: Final = "streams_abandoned_threads"


class QueueGauges(Collector):
    """Those of the queues."""

    def __init__(self, read: Callable[[], Iterable[QueueReading]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The families without a reading: registering must not read queues that do not exist."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """One sample for each queue and gauge; what is not known yet has none."""
        lag, oldest, in_hand, active, held, open_, dead, partitions, age, paused = families = (
            self._families()
        )
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
            active.add_metric(labels, reading.active)
            held.add_metric(labels, reading.held)
            for state, count in reading.open.items():
                open_.add_metric((*labels, state), count)
            dead.add_metric(labels, reading.dead)
            partitions.add_metric(labels, reading.partitions)
            age.add_metric(labels, reading.commit_age_ms / 1000)
            paused.add_metric(labels, int(reading.is_paused))
        return families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, ...]:
        def of(name: str, documentation: str, *more: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(name, documentation, labels=("queue", *more))

        return (
            of(LAG, "Records not settled or taken over yet."),
            of(OLDEST_WAITING, "For how long the oldest job waits that could run."),
            of(IN_HAND, "Jobs admitted and not settled."),
            of(ACTIVE, "Attempts that run."),
            of(HELD, "Jobs that a limit, a rate, a breaker or a pause holds back."),
            of(OPEN, "Jobs in the open table, by state; dead ones aside.", "state"),
            of(DEAD_NOW, "Dead jobs whose letters nobody has resolved."),
            of(PARTITIONS, "Partitions of the queue that this worker owns."),
            of(
                COMMIT_AGE,
                "For how long a partition's commit has not moved, though there is more; the most.",
            ),
            of(PAUSED, "1 if an operator has paused the queue, else 0."),
        )


class WorkerGauges(Collector):
    """Those of the worker itself."""

    def __init__(self, read: Callable[[], WorkerReading]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The families without a reading."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """One sample each; slots have one for each kind."""
        info, slots, busy, abandoned, next_tick = families = self._families()
        try:
            reading = self._read()
        except Exception:
            logger.exception("reading the worker failed: its gauges are missing from /metrics")
            return families
        info.add_metric((reading.worker, reading.group, VERSION), 1)
        for each in reading.slots:
            slots.add_metric((each.kind,), each.slots)
            busy.add_metric((each.kind,), each.busy)
        abandoned.add_metric((), reading.abandoned_threads)
        for schedule, at in reading.next_ticks.items():
            next_tick.add_metric((schedule,), at / 1000)
        return families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, ...]:
        return (
            GaugeMetricFamily(
                INFO, "1 for each worker that is there.", labels=("worker", "group", "version")
            ),
            GaugeMetricFamily(SLOTS, "Attempts that may run at a time.", labels=("kind",)),
            GaugeMetricFamily(BUSY, "Slots in which an attempt runs.", labels=("kind",)),
            GaugeMetricFamily(
                ABANDONED_NOW, "Threads that go on though their attempts are over.", labels=()
            ),
            GaugeMetricFamily(
                NEXT_TICK,
                "When the next tick is due, in seconds since the epoch; none while it is paused.",
                labels=("schedule",),
            ),
        )
