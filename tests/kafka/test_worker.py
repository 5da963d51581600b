"""The worker as users start it: what it serves, and how it ends."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from crash_handlers import Count
from topics import create_topics, states_of
from worker_process import WorkerProcess

from streams.client import JobClient
from streams.dev.ports import free_port
from streams.wire.topics import TopicNames


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


def _until_there(url: str, pattern: str) -> None:
    deadline = time.monotonic() + 30
    while not re.search(pattern, found := _get(url)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


async def test_metrics_and_health_tell_what_ran_and_sigterm_ends_cleanly(
    kafka: str, prefix: str, tmp_path: Path
):
    port = free_port()
    await create_topics(kafka, prefix)
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
            # Metrics are told after the ledger, from which the result was read.
            await asyncio.to_thread(
                _until_there,
                f"http://127.0.0.1:{port}/metrics",
                r'streams_jobs_total\{[^}]*name="count"[^}]*\} 1.0',
            )
            # One partition is enough to run a job; the worker is ready when all are recovered.
            health = await asyncio.to_thread(_get_when_ready, f"http://127.0.0.1:{port}/health")
            assert '"healthy": true' in health or '"healthy":true' in health
            assert worker.stop() == 0, worker.log


async def test_a_module_that_does_not_import_is_told_and_nothing_starts(
    kafka: str, prefix: str, tmp_path: Path
):
    (tmp_path / "broken_handlers.py").write_text("import no_such_module_anywhere\n")
    with WorkerProcess(
        kafka, prefix, "broken_handlers", tmp_path, PYTHONPATH=str(tmp_path)
    ) as worker:
        assert await worker.ended() == 2
    assert "No module named 'no_such_module_anywhere'" in worker.log
    assert "faust/cli" not in worker.log


async def test_a_fault_inside_a_turn_ends_the_worker_and_its_successor_completes_the_job(
    kafka: str, prefix: str, tmp_path: Path
):
    # given a worker that fails while it settles one of many jobs
    await create_topics(kafka, prefix)
    fault = {"EFFECTS": str(tmp_path / "effects"), "FAILED_ONCE": str(tmp_path / "failed")}
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:
        handles = [await jobs.enqueue(Count(account=n, n=n), id=str(n)) for n in range(20)]
        with WorkerProcess(kafka, prefix, "failing_handlers", tmp_path, **fault) as worker:
            # when it meets that job, then it ends and says why
            assert await worker.ended() == 1, worker.log
            assert re.search(rf"{prefix}jobs.default/\d failed", worker.log), worker.log
            assert "RuntimeError: a fault in the middle of a turn" in worker.log
            # and when it is started again, every job completes, and is settled once
            worker.start()
            await asyncio.gather(*(handle.result(timeout="60s") for handle in handles))
            assert worker.stop() == 0, worker.log
    ledger = await states_of(kafka, TopicNames(prefix).ledger("default"))
    assert len({key for key, *_ in ledger}) == sum(ledger.values()) == 20
