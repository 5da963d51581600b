"""Events in, Prometheus' text out."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.observe.health import QueueReading
from streams.observe.metrics import ENDINGS, WorkerMetrics
from streams.wire.schedules import Ticked

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: WorkerMetrics) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: WorkerMetrics, series: str, **labels: str) -> float | None:
    return samples(metrics).get((series, tuple(sorted(labels.items()))))


def event(
    happening: Happening,
    name: str = "mail",
    *,
    waited_ms: int | None = None,
    ran_ms: int | None = None,
) -> LifecycleEvent:
    return LifecycleEvent(
        happening=happening, at=1, queue="default", name=name, id="1",
        waited_ms=waited_ms, ran_ms=ran_ms,
    )  # fmt: skip


@pytest.mark.parametrize("ending", sorted(ENDINGS))
def test_an_ending_is_counted_by_its_outcome(ending: Happening) -> None:
    metrics = WorkerMetrics(names=["mail"])

    metrics.listen(event(ending))
    metrics.listen(event(ending))

    labels = {"queue": "default", "name": "mail", "outcome": ending.value}
    assert value(metrics, "streams_jobs_total", **labels) == 2


@pytest.mark.parametrize("happening", sorted(set(Happening) - ENDINGS))
def test_what_is_no_ending_ends_no_job(happening: Happening) -> None:
    metrics = WorkerMetrics(names=["mail"])

    metrics.listen(event(happening))

    assert not any(name == "streams_jobs_total" for name, _ in samples(metrics))


@pytest.mark.parametrize(
    ("happening", "series"),
    [
        (Happening.RETRYING, "streams_retries_total"),
        (Happening.DEAD, "streams_dead_letters_total"),
        (Happening.DUPLICATE, "streams_duplicates_dropped_total"),
    ],
)
def test_counters_of_their_own(happening: Happening, series: str) -> None:
    metrics = WorkerMetrics(names=["mail"])

    metrics.listen(event(happening))

    assert value(metrics, series, queue="default", name="mail") == 1


def test_undecodable_records_are_counted_by_queue_alone() -> None:
    metrics = WorkerMetrics(names=["mail"])

    metrics.listen(event(Happening.UNDECODABLE, name=""))

    assert value(metrics, "streams_undecodable_total", queue="default") == 1


def test_times_are_in_seconds_and_every_attempt_counts() -> None:
    metrics = WorkerMetrics(names=["mail"])

    metrics.listen(event(Happening.STARTED, waited_ms=1500))
    metrics.listen(event(Happening.RETRYING, ran_ms=20))
    metrics.listen(event(Happening.STARTED, waited_ms=0))
    metrics.listen(event(Happening.COMPLETED, ran_ms=300))

    labels = {"queue": "default", "name": "mail"}
    assert value(metrics, "streams_job_wait_seconds_sum", **labels) == 1.5
    assert value(metrics, "streams_job_wait_seconds_count", **labels) == 2
    assert value(metrics, "streams_job_run_seconds_sum", **labels) == pytest.approx(0.32)
    assert value(metrics, "streams_job_run_seconds_bucket", **labels, le="0.025") == 1


def test_names_that_nobody_registered_make_one_series() -> None:
    metrics = WorkerMetrics(names=["mail"])

    for number in range(1000):
        metrics.listen(event(Happening.DEAD, name=f"made-up-{number}"))

    labels = {"queue": "default", "name": "unknown", "outcome": "dead"}
    assert value(metrics, "streams_jobs_total", **labels) == 1000
    assert b"made-up" not in metrics.render()
    assert sum(name == "streams_jobs_total" for name, _ in samples(metrics)) == 1


def test_no_created_series() -> None:
    metrics = WorkerMetrics(names=["mail"])

    metrics.listen(event(Happening.COMPLETED, ran_ms=1))

    assert b"_created" not in metrics.render()


def test_gauges_are_read_at_the_scrape_and_not_before() -> None:
    readings: list[QueueReading] = []
    reads = 0

    def read() -> Iterable[QueueReading]:
        nonlocal reads
        reads += 1
        return readings

    metrics = WorkerMetrics(names=[], read=read)
    assert reads == 0
    readings.append(QueueReading(queue="default", lag=7, oldest_waiting_ms=2500, in_hand=3, dead=5))
    readings.append(QueueReading(queue="bulk", lag=None, oldest_waiting_ms=None, in_hand=0))

    assert value(metrics, "streams_queue_lag", queue="default") == 7
    assert value(metrics, "streams_queue_oldest_waiting_seconds", queue="default") == 2.5
    assert value(metrics, "streams_queue_in_hand", queue="default") == 3
    assert value(metrics, "streams_dead_letters", queue="default") == 5
    assert value(metrics, "streams_queue_lag", queue="bulk") is None
    assert value(metrics, "streams_queue_oldest_waiting_seconds", queue="bulk") is None
    assert value(metrics, "streams_queue_in_hand", queue="bulk") == 0


def test_a_failed_reading_leaves_the_counters() -> None:
    def read() -> Iterable[QueueReading]:
        raise RuntimeError("the consumer is gone")

    metrics = WorkerMetrics(names=["mail"], read=read)
    metrics.listen(event(Happening.DUPLICATE))

    labels = {"queue": "default", "name": "mail"}
    assert value(metrics, "streams_duplicates_dropped_total", **labels) == 1
    assert not any(name == "streams_queue_lag" for name, _ in samples(metrics))


def test_ticks_of_a_schedule_are_counted_by_what_became_of_them() -> None:
    metrics = WorkerMetrics(names=[])
    before = Ticked(last=1, shape="s", queue="default", fired=5, missed=2, skipped=1)
    now = Ticked(last=9, shape="s", queue="default", fired=8, missed=12, skipped=1)

    metrics.count_ticks("nightly", now.since(before))
    metrics.count_ticks("nightly", now.since(now))

    counted = {
        outcome: value(metrics, "streams_schedule_ticks_total", schedule="nightly", outcome=outcome)
        for outcome in ("enqueued", "missed", "skipped")
    }
    assert counted == {"enqueued": 3, "missed": 10, "skipped": 0}
    assert now.since(None) == now


def test_what_is_expected_is_counted_from_zero() -> None:
    metrics = WorkerMetrics(names=["mail"])
    metrics.expect("default", "mail")

    labels = {"queue": "default", "name": "mail"}
    assert value(metrics, "streams_jobs_total", **labels, outcome="dead") == 0
    assert value(metrics, "streams_dead_letters_total", **labels) == 0
    assert value(metrics, "streams_retries_total", **labels) == 0
    assert value(metrics, "streams_replays_total", **labels) == 0
    assert value(metrics, "streams_duplicates_dropped_total", **labels) == 0
    assert value(metrics, "streams_undecodable_total", queue="default") == 0
    assert value(metrics, "streams_loop_blocked_total", name="mail") == 0
    metrics.listen(event(Happening.DEAD))
    assert value(metrics, "streams_jobs_total", **labels, outcome="dead") == 1
    assert value(metrics, "streams_dead_letters_total", **labels) == 1


def test_how_late_the_loop_turns_is_a_histogram() -> None:
    metrics = WorkerMetrics(names=[])
    for late_ms in (0, 1, 30, 700):
        metrics.observe_lag(late_ms)

    assert value(metrics, "streams_loop_lag_seconds_count") == 4
    assert value(metrics, "streams_loop_lag_seconds_bucket", le="0.001") == 2
    assert value(metrics, "streams_loop_lag_seconds_bucket", le="0.05") == 3
    assert value(metrics, "streams_loop_lag_seconds_sum") == pytest.approx(0.731)


def test_when_ticks_were_found_missed_is_told_and_stays() -> None:
    now = 1_000.5
    metrics = WorkerMetrics(names=[], now=lambda: now)
    series = "streams_schedule_missed_timestamp_seconds"
    none = Ticked(last=1, shape="s", queue="default", fired=1)

    metrics.count_ticks("nightly", none)
    assert value(metrics, series, schedule="nightly") is None
    metrics.count_ticks("nightly", Ticked(last=9, shape="s", queue="default", missed=3))
    now = 2_000.5
    metrics.count_ticks("nightly", none)
    assert value(metrics, series, schedule="nightly") == 1_000
