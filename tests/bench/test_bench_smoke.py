"""The whole of `streams bench` once, small, on a real broker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.wire.reader import partition_counts

STREAMS = Path(sys.executable).with_name("streams")


def test_drain_measures_recounts_and_leaves_nothing_behind(kafka: str, tmp_path: Path) -> None:
    # when 2,000 jobs are drained
    done = subprocess.run(
        [STREAMS, "bench", "drain", "--jobs", "2000", "--bootstrap", kafka, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    # then the recount agreed, and the last line has the figures
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["bench"], result["jobs"], result["rounds"]) == ("drain", 2_000, 1)
    assert result["jobs_per_second"] > 0
    assert result["plain_faust_per_second"] > 0
    assert result["ratio"] > 0
    assert sys.platform != "linux" or result["cpu_us_per_job"] > 0
    # progress went to standard error, and topics and folder are gone
    assert "filling the queue with 2,000 jobs" in done.stderr
    left = asyncio.run(partition_counts(kafka))
    assert not [topic for topic in left if topic.startswith("bench-")]
    assert not list(tmp_path.iterdir())


def console_bench(kafka: str, folder: Path, jobs: int, timeout_s: float) -> Any:
    done = subprocess.run(
        [STREAMS, "bench", "console", "--jobs", str(jobs), "--bootstrap", kafka, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_projection_is_built_and_its_pages_are_read(kafka: str, tmp_path: Path) -> None:
    result = console_bench(kafka, tmp_path, 3_000, 120)
    assert result["records"] > 5_000
    assert result["records_per_second"] > 0
    assert result["page_p95_ms"] <= result["page_p99_ms"] <= result["page_max_ms"]
    assert {"all", "key", "error", "text of none", "by id", "counts"} <= result["p95_ms"].keys()


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_five_million_jobs_are_listed_without_slowing(kafka: str, tmp_path: Path) -> None:
    result = console_bench(kafka, tmp_path, 5_000_000, 3_500)
    assert result["records"] > 9_000_000
    assert result["rss_mb"] < 300
    if result["cores_busy_with_others"] < 0.3:  # else it says more of them
        assert result["page_p95_ms"] < 100
        assert result["records_per_second"] > 20_000


@pytest.mark.long  # each starts workers of its own
@pytest.mark.parametrize(
    ("name", "jobs", "figures"),
    [
        ("hot", 3_000, ["jobs_per_second"]),
        ("failing", 4_000, ["jobs_per_second", "failed_share"]),
        ("processes", 6_000, ["one_per_second", "two_per_second", "ratio"]),
        ("start", 2_000, ["warm_seconds"]),
        ("ledger", 30_000, ["ratio", "rss_mb", "recovered_seconds"]),
        ("replay", 5_000, ["replayed_per_second", "replay_peak_mb", "page_seconds"]),
        ("ticks", 120, ["ticks", "p50_late_ms", "p99_late_ms", "replaced_ms"]),
    ],
)
def test_the_others_measure_and_recount(
    kafka: str, tmp_path: Path, name: str, jobs: int, figures: list[str]
) -> None:
    done = subprocess.run(
        [STREAMS, "bench", name, "--jobs", str(jobs), "--bootstrap", kafka, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["bench"] == name
    assert all(result[figure] > 0 for figure in figures)
    if name == "failing":
        assert result["failed_share"] == 0.5
