"""What a worker's record says, and how it is shown."""

from __future__ import annotations

import orjson
import pytest

from streams.cli.workers import _ranges, _span
from streams.replay.workers import WorkerSeen, unready, worker_seen
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


def seen(name: str = "w1", *, at: int = 100, **said: object) -> WorkerSeen:
    made = worker_seen(name.encode(), orjson.dumps({**SAID, **said}), at)
    assert made is not None
    return made


def test_which_handlers_a_worker_has_is_known_unless_it_does_not_say() -> None:
    assert seen(handlers=["a", "b"]).handlers == {"a", "b"}
    assert seen().handlers is None
    assert seen(handlers=None).handlers is None


def test_who_serves_a_queue_and_lacks_a_handler_is_told() -> None:
    old = seen("w2", handlers=["a"])
    assert unready([seen(handlers=["a", "b"]), old], "default", ["a", "b"], 100) == [
        "w2 serves the queue default and has no handler b: its jobs wait there for a worker that "
        "has, 15m at most, and are dead then; STREAMS_HANDLERS has to name it, in the new code"
    ]
    several = [seen(f"w{n}", handlers=[]) for n in range(5)]
    (told,) = unready(several, "default", ["a"], 100)
    assert told.startswith("w0, w1, w2 and 2 more serve the queue default and have no handler a")
    assert unready([seen()], "default", ["a"], 100) == []


def test_a_queue_that_nobody_serves_is_told() -> None:
    told = ["no worker serves the queue default: jobs wait for one"]
    assert unready([], "default", ["a"], 100) == told
    assert unready([seen()], "default", ["a"], 101 + GONE_AFTER_MS) == told
    assert unready([seen(partitions={"bulk": [1]})], "default", ["a"], 100) == told


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
