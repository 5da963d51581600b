"""The whole of `streams bench` once, small, on a real broker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from streams.replay.reader import partition_counts

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
