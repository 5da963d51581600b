"""How queues and the worker stand, in Prometheus' text."""

from __future__ import annotations

import pytest

from streams.observe.health import QueueReading, SlotsReading, WorkerReading
from streams.observe.metrics import WorkerMetrics
from streams.version import VERSION


def _broken() -> WorkerReading:
    raise RuntimeError("the executor is gone")


QUEUE = QueueReading(
    queue="bulk",
    lag=7,
    oldest_waiting_ms=2_500,
    in_hand=3,
    dead=5,
    active=2,
    held=4,
    open={"parked": 6, "scheduled": 1},
    partitions=8,
    commit_age_ms=1_500,
    is_paused=True,
)
WORKER = WorkerReading(
    worker="box-1",
    group="workers",
    abandoned_threads=2,
    slots=(SlotsReading(kind="loop", slots=100, busy=40),),
    next_ticks={"nightly": 12_500},
)


@pytest.mark.parametrize(
    "line",
    [
        'streams_queue_lag{queue="bulk"} 7.0',
        'streams_queue_oldest_waiting_seconds{queue="bulk"} 2.5',
        'streams_queue_in_hand{queue="bulk"} 3.0',
        'streams_queue_active{queue="bulk"} 2.0',
        'streams_queue_held{queue="bulk"} 4.0',
        'streams_open_jobs{queue="bulk",state="parked"} 6.0',
        'streams_open_jobs{queue="bulk",state="scheduled"} 1.0',
        'streams_dead_letters{queue="bulk"} 5.0',
        'streams_queue_partitions{queue="bulk"} 8.0',
        'streams_queue_commit_age_seconds{queue="bulk"} 1.5',
        'streams_queue_paused{queue="bulk"} 1.0',
        f'streams_worker_info{{group="workers",version="{VERSION}",worker="box-1"}} 1.0',
        'streams_worker_slots{kind="loop"} 100.0',
        'streams_worker_slots_busy{kind="loop"} 40.0',
        "streams_abandoned_threads 2.0",
        'streams_schedule_next_timestamp_seconds{schedule="nightly"} 12.5',
    ],
)
def test_each_reading_has_a_sample(line: str) -> None:
    metrics = WorkerMetrics(names=[], read=lambda: [QUEUE], read_worker=lambda: WORKER)
    assert line in metrics.render().decode().splitlines()


def test_a_worker_that_can_not_be_read_leaves_the_others() -> None:
    text = WorkerMetrics(names=[], read=lambda: [QUEUE], read_worker=_broken).render().decode()
    assert 'streams_queue_lag{queue="bulk"} 7.0' in text
    assert "streams_worker_info{" not in text


def test_the_process_is_told_as_other_programs_tell_theirs() -> None:
    text = WorkerMetrics(names=[]).render().decode()
    assert "\nprocess_resident_memory_bytes " in text
    assert "\nprocess_cpu_seconds_total " in text
