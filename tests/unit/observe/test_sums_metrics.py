"""What became of jobs, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterable

from streams.observe.metrics import WorkerMetrics
from streams.observe.sums import SumsReading


def _broken() -> Iterable[SumsReading]:
    raise RuntimeError


def test_each_partition_and_state_has_a_sample():
    reading = SumsReading(
        queue="bulk", partition=3, jobs={"accepted": 7, "completed": 6}, unaccounted=1
    )
    text = WorkerMetrics(names=[], read_sums=lambda: [reading]).render().decode()
    assert 'streams_audit_jobs{partition="3",queue="bulk",state="accepted"} 7.0' in text
    assert 'streams_audit_jobs{partition="3",queue="bulk",state="completed"} 6.0' in text
    assert 'streams_audit_unaccounted{partition="3",queue="bulk"} 1.0' in text


def test_what_can_not_be_read_leaves_the_others():
    text = WorkerMetrics(names=[], read_sums=_broken).render().decode()
    assert "streams_jobs_total" in text
    assert "streams_audit_jobs{" not in text
