"""`streams worker`: several processes that are started, restarted and ended together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from effects import lines, until
from fault_handlers import Hold, Step
from prometheus_client.parser import text_string_to_metric_families
from topics import create_topics

from streams.client import JobClient
from streams.dev.children import spawn
from streams.dev.ports import free_port


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


async def until_ready(port: int, log: Path) -> None:
    """Return once all of them are: the supervisor tells only who asks."""
    async with asyncio.timeout(90):
        while (await asyncio.to_thread(get, port, "/ready"))[0] != 200:
            await asyncio.sleep(0.1)


def until_said(log: Path, text: str, times: int) -> None:
    """Return once the log has this text so often: it has no other way to tell us."""
    limit = time.monotonic() + 60
    while log.read_text(errors="replace").count(text) < times:
        assert time.monotonic() < limit, log.read_text(errors="replace")
        time.sleep(0.05)


def environment(kafka: str, prefix: str, folder: Path, port: int, effects: Path) -> dict[str, str]:
    """What the supervisor is told."""
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "STREAMS_PREFIX": prefix,
        "STREAMS_HANDLERS": "fault_handlers",
        "STREAMS_PARTITIONS": "4",
        "STREAMS_QUEUES": "default",
        "STREAMS_DATA_DIR": str(folder / "data"),
        "STREAMS_WEB_PORT": str(port),
        "STREAMS_SESSION_TIMEOUT": "6s",
        "PYTHONPATH": str(Path(__file__).parent),
        "EFFECTS": str(effects),
    }


def ended(port: int) -> Counter[str]:
    """How many jobs each process has ended."""
    counted: Counter[str] = Counter()
    for family in text_string_to_metric_families(get(port, "/metrics")[1]):
        if family.name == "streams_jobs":
            for sample in family.samples:
                counted[sample.labels["process"]] += int(sample.value)
    return counted


async def test_two_processes_work_are_restarted_and_end_together(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, 4)
    effects, log, port = tmp_path / "effects", tmp_path / "log", free_port()

    def said() -> str:
        return log.read_text(errors="replace")

    async def run(client: JobClient, numbers: range) -> set[str]:
        """Have these jobs run; the processes that ran them."""
        await client.enqueue_many((Step(account=n, n=n) for n in numbers), id=lambda s: str(s.n))
        wanted = {str(n) for n in numbers}
        found = await until(
            effects, lambda f: wanted <= {line[3] for line in f if line[0] == "end"}, said
        )
        return {line[4] for line in found if line[0] == "end" and line[3] in wanted}

    with log.open("ab") as output:
        supervisor = spawn(
            [sys.executable, "-m", "streams", "worker", "--processes", "2"],
            output=output,
            env=environment(kafka, prefix, tmp_path, port, effects),
        )
    try:
        await until_ready(port, log)
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            pids = await run(client, range(60))
            assert len(pids) == 2, said()
            # A job is counted once it is settled, a moment after its handler's end.
            while sum(ended(port).values()) < 60:
                assert supervisor.poll() is None, said()
            counted = ended(port)
            assert sum(counted.values()) == 60
            assert counted.keys() == {"1", "2"}

            # One is killed: it is started again, and nothing is lost.
            os.kill(int(sorted(pids)[0]), signal.SIGKILL)
            await run(client, range(60, 120))
            await until_ready(port, log)
            assert "killed by SIGKILL" in said()
            body = json.loads(get(port, "/health")[1])
            assert body["healthy"] is True
            assert set(body["processes"]) == {"1", "2"}
            assert len(await run(client, range(120, 180))) == 2

        supervisor.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(supervisor.wait, 60) == 0, said()
    finally:
        if supervisor.poll() is None:
            supervisor.kill()
            supervisor.wait()
    ends = [line[3] for line in lines(effects) if line[0] == "end"]
    assert {str(n) for n in range(180)} == set(ends)


def test_what_is_misconfigured_is_not_started_again(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    supervisor = subprocess.run(
        [sys.executable, "-m", "streams", "worker", "--processes", "2"],
        env={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "STREAMS_PREFIX": prefix,
            "STREAMS_HANDLERS": "no_such_module_of_handlers",
            "STREAMS_DATA_DIR": str(tmp_path / "data"),
            "STREAMS_WEB_PORT": "0",
        },
        capture_output=True,
        timeout=60,
    )
    assert supervisor.returncode == 2, supervisor.stderr
    assert b"no_such_module_of_handlers" in supervisor.stdout + supervisor.stderr


async def test_a_second_signal_ends_all_at_once_and_a_repeated_one_to_a_worker_does_not(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, 4)
    log, effects, port = tmp_path / "log", tmp_path / "effects", free_port()
    latch = tmp_path / "latch"  # never opened
    with log.open("ab") as output:
        supervisor = spawn(
            [sys.executable, "-m", "streams", "worker", "--processes", "2"],
            output=output,
            env=environment(kafka, prefix, tmp_path, port, effects),
        )
    try:
        await until_ready(port, log)
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            for n in range(20):
                await client.enqueue(Hold(n=n, latch=str(latch)))
        held = lambda found: len({line[3] for line in found if line[0] == "start"}) == 20  # noqa: E731
        found = await until(effects, held, lambda: log.read_text(errors="replace"))
        workers = {int(line[4]) for line in found}
        assert len(workers) == 2
        # when all processes get the signal twice, as from a service manager
        for number in (signal.SIGTERM, signal.SIGTERM):
            for pid in workers:
                os.kill(pid, number)
        supervisor.send_signal(signal.SIGTERM)
        await asyncio.to_thread(until_said, log, "stopping: running jobs have", 2)
        # Two signals of one kind that nobody has looked at are one.
        await asyncio.to_thread(until_said, log, "stopping all workers", 1)
        # then they drain, and end at once when the supervisor is told again
        assert supervisor.poll() is None
        supervisor.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(supervisor.wait, 20) == 128 + signal.SIGTERM
        assert "a second signal: ending" not in log.read_text(errors="replace")
    finally:
        if supervisor.poll() is None:
            supervisor.kill()
            supervisor.wait()
