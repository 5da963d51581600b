"""Real requests to the worker's web server."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from streams.errors import SettingsError
from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.observe import web
from streams.observe.health import Health, QueueReading, Thresholds, health
from streams.observe.metrics import WorkerMetrics
from streams.observe.web import WorkerWeb


class Worker:
    """What the web server asks."""

    def __init__(self) -> None:
        self.ready = True
        self.lag = 3
        self.metrics = WorkerMetrics(names=["mail"], read=self.read)

    def read(self) -> list[QueueReading]:
        return [QueueReading(queue="default", lag=self.lag, oldest_waiting_ms=500, in_hand=1)]

    def health(self) -> Health:
        return health(self.read(), Thresholds(waiting=10), ready=self.ready)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
async def server(worker: Worker) -> AsyncIterator[WorkerWeb]:
    server = WorkerWeb(worker.metrics, worker.health, port=0)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def get(server: WorkerWeb, path: str, method: str = "GET") -> tuple[int, str, str]:
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_metrics_are_prometheus_text(worker: Worker, server: WorkerWeb) -> None:
    worker.metrics.listen(
        LifecycleEvent(happening=Happening.COMPLETED, at=1, queue="default", name="mail", id="1")
    )

    status, kind, text = await get(server, "/metrics")

    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert 'streams_jobs_total{name="mail",outcome="completed",queue="default"} 1.0' in text
    assert 'streams_queue_lag{queue="default"} 3.0' in text


async def test_health_turns_503_when_a_queue_falls_behind(
    worker: Worker, server: WorkerWeb
) -> None:
    status, _, text = await get(server, "/health")
    assert status == 200
    assert json.loads(text) == {
        "data": [
            {
                "name": "default",
                "waiting": 3,
                "failed": 0,
                "oldest_waiting_seconds": 0.5,
                "in_hand": 1,
            }
        ],
        "healthy": True,
    }

    worker.lag = 11
    status, _, text = await get(server, "/health")
    assert (status, json.loads(text)["healthy"]) == (503, False)
    assert (await get(server, "/ready"))[0] == 200


async def test_a_worker_that_is_not_ready_is_alive(worker: Worker, server: WorkerWeb) -> None:
    assert (await get(server, "/ready"))[0] == 200

    worker.ready = False

    assert (await get(server, "/ready"))[0] == 503
    assert (await get(server, "/health"))[0] == 503
    assert (await get(server, "/live"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/table", "/metrics/", "/graph"])
async def test_there_is_nothing_else(path: str, server: WorkerWeb) -> None:
    assert (await get(server, path))[0] == 404


async def test_nothing_is_written(server: WorkerWeb) -> None:
    assert (await get(server, "/metrics", "POST"))[0] == 405


async def test_requests_are_not_logged(server: WorkerWeb, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await get(server, "/metrics")

    assert not caplog.records


async def test_a_second_worker_takes_a_free_port_and_says_so(
    worker: Worker,
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(web, "DEFAULT_PORT", taken)
    server = WorkerWeb(worker.metrics, worker.health, port=taken)

    await server.start()
    try:
        assert server.port not in (0, taken)
        assert (await get(server, "/live"))[0] == 200
        (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert str(taken) in warning.getMessage()
        assert str(server.port) in warning.getMessage()
    finally:
        await server.stop()


async def test_a_chosen_port_in_use_is_an_error_with_its_remedy(worker: Worker, taken: int) -> None:
    server = WorkerWeb(worker.metrics, worker.health, port=taken)

    with pytest.raises(SettingsError, match="STREAMS_WEB_PORT"):
        await server.start()

    await server.stop()


async def test_after_stop_nobody_listens_and_stopping_again_is_harmless(worker: Worker) -> None:
    server = WorkerWeb(worker.metrics, worker.health, port=0)
    await server.start()

    await server.stop()
    await server.stop()

    with pytest.raises(aiohttp.ClientConnectorError):
        await get(server, "/live")
