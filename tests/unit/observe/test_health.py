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
    verdict = health([reading(lag)], Thresholds(lag=threshold), ready=ready)

    assert (verdict.ready, verdict.healthy) == (ready, healthy)


def test_one_queue_behind_is_enough() -> None:
    assert not health([reading(0), reading(11)], Thresholds(lag=10), ready=True).healthy


def test_the_body_is_in_seconds_and_null_where_unknown() -> None:
    verdict = health([reading(3, 1500), reading(None, None)], Thresholds(), ready=True)

    assert verdict.body() == {
        "data": [
            {"name": "default", "lag": 3, "oldest_waiting_seconds": 1.5, "in_hand": 2},
            {"name": "default", "lag": None, "oldest_waiting_seconds": None, "in_hand": 2},
        ],
        "healthy": True,
    }
