"""Metrics of several workers as one text."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.observe.metrics import WorkerMetrics
from streams.supervisor.children import PAUSES, pause_before_restart
from streams.supervisor.web import merged


def worker(jobs: int) -> str:
    metrics = WorkerMetrics(names=["mail"])
    for _ in range(jobs):
        metrics.listen(
            LifecycleEvent(
                happening=Happening.COMPLETED,
                at=1,
                queue="default",
                name="mail",
                id="1",
                ran_ms=7,
            )
        )
    return metrics.render().decode()


def test_each_series_says_whose_it_is_and_none_is_lost() -> None:
    whole = merged({1: worker(3), 2: worker(5)}).decode()
    families = {family.name: family for family in text_string_to_metric_families(whole)}
    ended = {s.labels["process"]: s.value for s in families["streams_jobs"].samples}
    assert ended == {"1": 3, "2": 5}
    counts = {
        s.labels["process"]: s.value
        for s in families["streams_job_run_seconds"].samples
        if s.name == "streams_job_run_seconds_bucket" and s.labels["le"] == "+Inf"
    }
    assert counts == {"1": 3, "2": 5}
    assert families["streams_job_run_seconds"].type == "histogram"
    assert whole.count("# TYPE streams_jobs_total counter") == 1


def test_restarts_come_ever_later() -> None:
    assert [pause_before_restart(n) for n in range(1, 9)] == [*PAUSES, PAUSES[-1], PAUSES[-1]]
