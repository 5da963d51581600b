"""What `streams` offers is a decision: this test is where it changes."""

from __future__ import annotations

import subprocess
import sys

import pytest

import streams

PUBLIC = {"Event", "JobPayload", "job", "JobContext", "Retry", "Exponential", "Fixed", "Custom"} | {
    "PermanentError",
    "RetryAfter",
    "Snooze",
    "Discard",
    "ItemsFailed",
    "SyncJobContext",
    "Batch",
    "BatchContext",
    "BatchCounts",
    "Progress",
    "Cron",
    "Every",
    "Tick",
    "RateLimit",
    "Breaker",
    "Debounce",
    "Unique",
    "Resource",
    "Middleware",
    "on",
    "LifecycleEvent",
    "AfterDead",
    "DeadJob",
}


def test_the_public_names_are_these() -> None:
    assert set(streams.__all__) == PUBLIC
    assert len(streams.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    assert getattr(streams, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = streams.Nonsense


@pytest.mark.parametrize("name", ["Step", "workflow"])
def test_a_name_that_is_to_come_says_so(name: str) -> None:
    with pytest.raises(ImportError, match=f"streams.{name} is not available yet"):
        exec(f"from streams import {name}")


def test_no_public_name_needs_faust() -> None:
    code = "import sys; from streams import *; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & {"faust", "mode", "aiokafka", "rocksdict"} == set()


def test_the_package_itself_loads_nothing() -> None:
    code = "import sys, streams; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pydantic" not in done.stdout.split()
