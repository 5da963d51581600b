"""`streams worker`: several processes that are started, restarted and ended together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from effects import lines, until
from fault_handlers import Step
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
            env={
                **os.environ,
                "KAFKA_BOOTSTRAP_SERVERS": kafka,
                "STREAMS_PREFIX": prefix,
                "STREAMS_HANDLERS": "fault_handlers",
                "STREAMS_PARTITIONS": "4",
                "STREAMS_QUEUES": "default",
                "STREAMS_DATA_DIR": str(tmp_path / "data"),
                "STREAMS_WEB_PORT": str(port),
                "STREAMS_SESSION_TIMEOUT": "6s",
                "PYTHONPATH": str(Path(__file__).parent),
                "EFFECTS": str(effects),
            },
        )
    try:
        await until_ready(port, log)
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            pids = await run(client, range(60))
            assert len(pids) == 2, said()
            families = text_string_to_metric_families(get(port, "/metrics")[1])
            jobs = next(family for family in families if family.name == "streams_jobs")
            assert {sample.labels["process"] for sample in jobs.samples} == {"1", "2"}
            assert sum(sample.value for sample in jobs.samples) == 60

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
