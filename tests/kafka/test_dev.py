"""`streams dev`: one command that starts everything, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from cli_process import STREAMS
from talking_handlers import Nap

from streams.client import JobClient
from streams.dev.ports import free_port
from streams.wire.admin import open_admin

PATIENCE_S = 60
BOOTSTRAP = "KAFKA_BOOTSTRAP_SERVERS"

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


class Dev:
    """The command, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def until_said(self, text: str) -> None:
        """Return once it has said this."""
        assert self.process.stdout is not None
        while text not in self.said:
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)
            assert line, f"it ended, and never said {text!r}:\n{self.said}"
            self.said += line.decode()

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        rest, _ = await asyncio.wait_for(self.process.communicate(), PATIENCE_S)
        self.said += rest.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    def named(self, pattern: str) -> str:
        """What it said in this place."""
        found = re.search(pattern, self.said)
        assert found is not None, self.said
        return found.group(1)

    def children(self) -> list[int]:
        """Process descriptors of those that it started; they end only with their processes."""
        pid = self.process.pid
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [os.pidfd_open(int(child)) for child in listed]


@asynccontextmanager
async def dev(folder: Path, prefix: str, **variables: str) -> AsyncIterator[Dev]:
    environment = {
        **{name: value for name, value in os.environ.items() if name != BOOTSTRAP},
        "STREAMS_PREFIX": prefix,
        "STREAMS_PARTITIONS": "2",
        "STREAMS_HANDLERS": "crash_handlers",
        "STREAMS_DATA_DIR": str(folder / "data"),
        "STREAMS_WEB_PORT": "0",
        "PYTHONPATH": str(Path(__file__).parent),
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        str(STREAMS),
        "dev",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Dev(process)
    finally:
        if process.returncode is None:  # a test that failed
            process.terminate()
            await process.communicate()


def have_ended(children: Sequence[int]) -> bool:
    """Whether all of them have; a moment is for the kernel."""
    try:
        # Readable once the process has ended.
        return all(select.select([child], [], [], 10)[0] for child in children)
    finally:
        for child in children:
            os.close(child)


async def until_answered(url: str) -> str:
    """What is answered there, once somebody answers with success."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                with await asyncio.to_thread(urlopen, url, None, 10) as answer:
                    return str(answer.read().decode())
            except OSError:
                await asyncio.sleep(0.1)


@linux
async def test_ctrl_c_ends_broker_worker_and_console(prefix: str, tmp_path: Path) -> None:
    # given
    port = free_port()
    async with dev(tmp_path, prefix, STREAMS_WEB_PORT=str(port)) as running:
        await running.until_said("Ctrl-C ends all")
        # then the addresses that it says are those of a broker and of a worker
        async with open_admin(running.named(r"broker   (127\.0\.0\.1:\d+)")) as admin:
            await admin.list_topics()
        assert running.named(r"metrics  (\S+)") == f"http://127.0.0.1:{port}/metrics"
        await running.until_said("metrics and health on")  # the worker is there
        with await asyncio.to_thread(urlopen, running.named(r"metrics  (\S+)"), None, 10) as answer:
            assert answer.status == 200
        # and the console shows what is there
        page = await until_answered(running.named(r"console  (\S+)") + "/queues")
        assert '"name":"default"' in page
        children = running.children()
        assert len(children) == 3
        # when
        running.process.send_signal(signal.SIGINT)
        # then
        assert await running.ended() == 0, running.said
        assert "Traceback" not in running.said
        assert have_ended(children)


@linux
async def test_a_worker_that_dies_ends_it(kafka: str, prefix: str, tmp_path: Path) -> None:
    async with dev(tmp_path, prefix, **{BOOTSTRAP: kafka}) as running:
        await running.until_said("Ctrl-C ends all")
        assert running.named(r"broker   (\S+)") == kafka
        os.kill(int(running.named(r"worker   process (\d+)")), signal.SIGKILL)
        assert await running.ended() == 1
        assert "the worker ended by itself, with exit code -9" in running.said


async def test_what_a_worker_refuses_to_start_with_is_its_answer_too(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    wrong = {BOOTSTRAP: kafka, "STREAMS_HANDLERS": "no_such_module"}
    async with dev(tmp_path, prefix, **wrong) as running:
        assert await running.ended() == 2
        assert "No module named 'no_such_module'" in running.said


async def test_handlers_are_checked_before_a_broker_is_started(prefix: str, tmp_path: Path) -> None:
    async with dev(tmp_path, prefix, STREAMS_HANDLERS="no_such_module") as running:
        assert await running.ended() == 2
    assert "No module named 'no_such_module'" in running.said
    assert not (tmp_path / "data" / "broker").exists()


@linux
async def test_a_second_ctrl_c_ends_at_once_and_the_address_stays(
    prefix: str, tmp_path: Path
) -> None:
    async with dev(tmp_path, prefix, STREAMS_HANDLERS="talking_handlers") as running:
        await running.until_said("Ctrl-C ends all")
        # it says what is there, and how others get at it
        bootstrap = running.named(r"(?m)^ *export KAFKA_BOOTSTRAP_SERVERS=(\S+)$")
        assert running.named(r"broker   (\S+)") == bootstrap
        assert running.named(r"queues   (.+)") == "critical, default, bulk"
        assert running.named(r"(?m)^  (nap .*)$") == "nap  default, on enqueue"
        # it is alone in its folder
        async with dev(tmp_path, prefix, STREAMS_HANDLERS="talking_handlers") as other:
            assert await other.ended() == 2
        assert len(other.said.splitlines()) == 1
        assert other.said.startswith(f"streams: streams dev runs in {tmp_path / 'data'} already")
        assert f"(process {running.process.pid})" in other.said
        # while a job runs, it waits; asked twice, it does not
        await running.until_said("metrics and health on")
        async with JobClient(bootstrap, source="test", prefix=prefix) as jobs:
            await jobs.enqueue(Nap(seconds=600))
        await running.until_said("napping")
        children = running.children()
        running.process.send_signal(signal.SIGINT)
        await running.until_said("waiting up to 25 s for running jobs; Ctrl-C again stops at once")
        asked = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 130, running.said
        assert time.monotonic() - asked < 10
        assert have_ended(children)

    async with dev(tmp_path, prefix, STREAMS_HANDLERS="talking_handlers") as again:
        await again.until_said("Ctrl-C ends all")
        assert again.named(r"broker   (\S+)") == bootstrap
