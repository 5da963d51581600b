"""The verdict on a worker."""

from __future__ import annotations

import pytest

from streams.observe.health import QueueReading, Thresholds, health


def reading(lag: int | None = 0, oldest: int | None = 0) -> QueueReading:
    return QueueReading(queue="default", lag=lag, oldest_waiting_ms=oldest, in_hand=2)


@pytest.mark.parametrize(
    ("lag", "threshold", "ready", "healthy"),
    [
        (0, None, True, True),
        (1_000_000, None, True, True),
        (10, 10, True, True),
        (11, 10, True, False),
        (None, 10, True, True),
        (0, None, False, False),
        (0, 10, False, False),
    ],
)
def test_unhealthy_when_not_ready_or_behind(
    lag: int | None, threshold: int | None, ready: bool, healthy: bool
) -> None:
    verdict = health([reading(lag)], Thresholds(waiting=threshold), ready=ready)

    assert (verdict.ready, verdict.healthy) == (ready, healthy)


def test_one_queue_behind_is_enough() -> None:
    assert not health([reading(0), reading(11)], Thresholds(waiting=10), ready=True).healthy


def test_a_problem_of_the_worker_is_enough_and_told() -> None:
    verdict = health([reading(0)], Thresholds(), ready=True, problems=("no thread is free",))

    assert (verdict.ready, verdict.healthy) == (True, False)
    assert verdict.body()["problems"] == ["no thread is free"]


def test_the_body_is_in_seconds_and_null_where_unknown() -> None:
    verdict = health([reading(3, 1500), reading(None, None)], Thresholds(), ready=True)

    assert verdict.body() == {
        "data": [
            {
                "name": "default",
                "waiting": 3,
                "failed": 0,
                "oldest_waiting_seconds": 1.5,
                "in_hand": 2,
            },
            {
                "name": "default",
                "waiting": None,
                "failed": 0,
                "oldest_waiting_seconds": None,
                "in_hand": 2,
            },
        ],
        "healthy": True,
    }


def test_too_many_dead_jobs_are_unhealthy():
    dead = QueueReading(queue="default", lag=0, oldest_waiting_ms=0, in_hand=0, dead=51)
    assert not health([dead], Thresholds(), ready=True).healthy
    assert health([dead], Thresholds(failed=None), ready=True).healthy


def test_the_defaults_are_a_hundred_waiting_and_fifty_failed():
    assert health([reading(100)], Thresholds(), ready=True).healthy
    assert not health([reading(101)], Thresholds(), ready=True).healthy
