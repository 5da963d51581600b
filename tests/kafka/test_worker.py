"""The worker as users start it: what it serves, and how it ends."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from crash_handlers import Count
from worker_process import WorkerProcess

from streams.client import JobClient
from streams.wire.admin import apply_topics, open_admin
from streams.wire.topics import TopicNames, specs

QUEUES = ("critical", "default", "bulk")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _get(url: str) -> str:
    with urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def _get_when_ready(url: str) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            return _get(url)
        except HTTPError:
            if time.monotonic() > deadline:
                raise


async def test_metrics_and_health_tell_what_ran_and_sigterm_ends_cleanly(
    kafka: str, prefix: str, tmp_path: Path
):
    port = _free_port()
    async with open_admin(kafka) as admin:
        await apply_topics(admin, specs(TopicNames(prefix), QUEUES, (), 2))
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:
        worker = WorkerProcess(
            kafka,
            prefix,
            "crash_handlers",
            tmp_path,
            EFFECTS=str(tmp_path / "effects"),
            STREAMS_WEB_PORT=str(port),
        )
        with worker:
            handle = await jobs.enqueue(Count(account=1, n=1))
            await handle.result(timeout="60s")
            metrics = await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics")
            assert re.search(r'streams_jobs_total\{[^}]*name="count"[^}]*\} 1.0', metrics), metrics
            # One partition is enough to run a job; the worker is ready when all are recovered.
            health = await asyncio.to_thread(_get_when_ready, f"http://127.0.0.1:{port}/health")
            assert '"healthy": true' in health or '"healthy":true' in health
            assert worker.stop() == 0, worker.log


async def test_a_module_that_does_not_import_is_told_and_nothing_starts(
    kafka: str, prefix: str, tmp_path: Path
):
    (tmp_path / "broken_handlers.py").write_text("import no_such_module_anywhere\n")
    worker = WorkerProcess(kafka, prefix, "broken_handlers", tmp_path, PYTHONPATH=str(tmp_path))
    worker.start()
    assert worker.process is not None
    try:
        code = await asyncio.to_thread(worker.process.wait, 30)
    except subprocess.TimeoutExpired:
        worker.stop()
        raise
    assert code == 2
    assert "No module named 'no_such_module_anywhere'" in worker.log
    assert "faust/cli" not in worker.log
