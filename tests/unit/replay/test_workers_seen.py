"""What a worker's record says, and how it is shown."""

from __future__ import annotations

import orjson
import pytest

from streams.cli.workers import _ranges, _span
from streams.replay.workers import worker_seen
from streams.worker.presence import GONE_AFTER_MS

SAID = {
    "group": "workers",
    "version": "1",
    "started": 1,
    "partitions": {"default": [3, 0]},
    "standbys": [["bulk", 2], ["bulk", 1]],
    "in_hand": 4,
    "running": [{"name": "n", "id": "i", "key": None, "attempt": 2, "since": 7}],
}


def test_what_a_worker_says_is_read() -> None:
    seen = worker_seen(b"w1", orjson.dumps(SAID), 100)
    assert seen is not None
    assert (seen.worker, seen.partitions, seen.standbys) == (
        "w1",
        {"default": (0, 3)},
        {"bulk": (1, 2)},
    )
    assert (seen.longest, seen.running[0].attempt) == (7, 2)
    assert not seen.is_gone(100 + GONE_AFTER_MS)
    assert seen.is_gone(101 + GONE_AFTER_MS)


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[]", b'{"group": 1}'])
def test_what_says_nothing_is_left_out(value: bytes | None) -> None:
    assert worker_seen(b"w1", value, 100) is None


def test_numbers_and_times_are_short() -> None:
    assert _ranges([0, 1, 2, 4, 7, 8]) == "0-2,4,7-8"
    assert _ranges([]) == ""
    assert [_span(ms) for ms in (-5, 999, 61_000, 3_661_000, 90_000_000)] == [
        "0s",
        "0s",
        "1m 1s",
        "1h 1m",
        "1d 1h",
    ]
