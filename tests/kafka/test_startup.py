"""Before a worker works: it waits for its broker, and refuses topics that contradict it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from crash_handlers import Count
from topics import QUEUES, create_topics
from worker_process import WorkerProcess

from streams.client import JobClient
from streams.dev import broker as broker_module
from streams.dev.broker import LocalBroker
from streams.dev.ports import free_port
from streams.errors import BrokerUnavailable, TopicMismatch
from streams.kafka import startup
from streams.wire.admin import apply_topics, open_admin
from streams.wire.topics import TopicNames, TopicSpec, specs


async def test_a_worker_waits_for_its_broker_says_so_once_and_then_works(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker whose broker is not there
    port = free_port()
    kafka = f"127.0.0.1:{port}"
    effects = {"EFFECTS": str(tmp_path / "effects")}
    with WorkerProcess(kafka, prefix, "crash_handlers", tmp_path, **effects) as worker:
        await worker.until_said("waiting for the broker")
        # when the broker comes, seconds and some tries later
        monkeypatch.setattr(broker_module, "_free_ports", lambda count: [port, free_port()])
        with LocalBroker(tmp_path / "broker", heap="256m"):
            await create_topics(kafka, prefix)
            async with JobClient(kafka, source="test", prefix=prefix) as jobs:
                handle = await jobs.enqueue(Count(account=1, n=1))
                # then it works
                await handle.result(timeout="60s")
            assert worker.stop() == 0, worker.log
        # and has told of all its tries in one line, which names the address
        told = [line for line in worker.log.splitlines() if f"at {kafka}" in line]
        assert len(told) == 1, worker.log
        assert "waiting for the broker" in told[0]
        assert "Unable connect" not in worker.log


class Outage:
    """A broker that is down for a number of tries, and the time that passes meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: Sequence[Exception]) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self._failures = list(failures)
        clock = SimpleNamespace(time=lambda: self.now)
        time = SimpleNamespace(sleep=self._sleep, get_running_loop=lambda: clock)
        monkeypatch.setattr(startup, "asyncio", time)
        monkeypatch.setattr(startup, "open_admin", self._open_admin)
        monkeypatch.setattr(startup, "apply_topics", self._apply_topics)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    @asynccontextmanager
    async def _open_admin(self, bootstrap: str) -> AsyncIterator[None]:
        if self._failures and isinstance(self._failures[0], BrokerUnavailable):
            raise self._failures.pop(0)
        yield

    async def _apply_topics(self, admin: None, wanted: Sequence[TopicSpec]) -> None:
        if self._failures:
            raise self._failures.pop(0)


async def test_tries_get_rarer_and_are_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    down = Outage(monkeypatch, [BrokerUnavailable("nobody there")] * 20)
    # when
    await startup.prepare_topics("kafka:9092", [])
    # then 20 tries over 168.5 s were told at the first, and after 60 s each
    assert down.pauses == [0.5, 1, 2, 5] + [10] * 16
    told = [r.getMessage() for r in caplog.records if r.name == startup.logger.name]
    assert told == ["waiting for the broker at kafka:9092: nobody there"] * 3


async def test_a_broker_that_goes_in_the_middle_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    down = Outage(monkeypatch, [KafkaConnectionError("gone"), BrokerUnavailable("nobody there")])
    await startup.prepare_topics("kafka:9092", [])
    assert down.pauses == [0.5, 1]


async def test_what_waiting_does_not_mend_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Outage(monkeypatch, [TopicAuthorizationFailedError("not yours")])
    with pytest.raises(TopicAuthorizationFailedError):
        await startup.prepare_topics("kafka:9092", [])

    Outage(monkeypatch, [TopicMismatch("jobs.bulk: found 3; wanted 2. Set it")])
    with pytest.raises(SystemExit) as ended:
        await startup.prepare_topics("kafka:9092", [])
    assert ended.value.code == startup.MISCONFIGURED == 2
    assert "jobs.bulk: found 3; wanted 2. Set it" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "found", "remedy"),
    [
        pytest.param(
            {"partitions": 3},
            "found 3 partition(s); wanted 2 partition(s)",
            "Set STREAMS_PARTITIONS=3",
            id="partitions",
        ),
        pytest.param(
            {"config": {"cleanup.policy": "compact"}},
            "found cleanup.policy=compact",
            "--add-config cleanup.policy=[delete]",
            id="cleanup.policy",
        ),
    ],
)
async def test_a_topic_that_contradicts_ends_the_worker_with_the_remedy(
    kafka: str, prefix: str, tmp_path: Path, wrong: dict[str, object], found: str, remedy: str
) -> None:
    # given a queue that was made by other rules
    queue = TopicNames(prefix).queue("default")
    (spec,) = [s for s in specs(TopicNames(prefix), QUEUES, (), 2) if s.name == queue]
    async with open_admin(kafka) as admin:
        await apply_topics(admin, [replace(spec, **wrong)])  # type: ignore[arg-type]
    # when
    with WorkerProcess(kafka, prefix, "crash_handlers", tmp_path) as worker:
        code = await worker.ended()
    # then what is wrong and what mends it is told, and nothing of Faust
    assert code == startup.MISCONFIGURED, worker.log
    assert f"{queue}: {found}" in worker.log
    assert remedy in worker.log
    assert "Traceback" not in worker.log
    # and nothing was created on the way
    async with open_admin(kafka) as admin:
        assert [t for t in await admin.list_topics() if t.startswith(prefix)] == [queue]
