"""What a worker writes: its introduction, what handlers print, and where they failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from talking_handlers import Say
from worker_process import WorkerProcess

from streams.client import JobClient
from streams.errors import JobFailed


async def test_a_worker_introduces_itself_and_its_handlers_are_heard(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    variables = {"STREAMS_GROPU": "x"}
    with WorkerProcess(kafka, prefix, "talking_handlers", tmp_path, **variables) as worker:
        await worker.until_said("metrics and health on")
        async with JobClient(kafka, source="test", prefix=prefix) as jobs:
            await (await jobs.enqueue(Say(words="good morning"))).result("60s")
            failing = await jobs.enqueue(Say(words="good night", fails=True))
            with pytest.raises(JobFailed):
                await failing.result("60s")
        await worker.until_said("characters are too many")

    lines = worker.log.splitlines()
    # what is printed comes out whole
    assert lines.count("it says good morning") == 1
    assert "mode.redirect" not in worker.log
    # what failed says where
    assert any('talking_handlers.py", line' in line for line in lines)
    # what it is
    assert any(line.startswith("jobstreams ") and ", worker " in line for line in lines)
    assert f"  broker    {kafka}" in lines
    assert f"  group     {prefix}workers" in lines
    assert "  queues    critical, default, bulk" in lines
    assert "  handlers  nap, say" in lines
    assert "localhost:6066" not in worker.log
    assert "memory:" not in worker.log
    assert "STREAMS_GROPU is not a setting: did you mean STREAMS_GROUP?" in worker.log
