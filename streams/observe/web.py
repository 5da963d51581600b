"""The worker's own small web server: metrics for Prometheus and probes for whoever runs it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from streams.errors import SettingsError
from streams.observe.health import Health
from streams.observe.metrics import WorkerMetrics

logger = logging.getLogger(__name__)

DEFAULT_PORT: Final = 9191
STOP_SECONDS = 1.0  # a scrape that takes longer is cut off when the worker stops


class WorkerWeb:
    """GET /metrics, /health, /live and /ready; anything else is a 404 or 405.

    `/live` says that the loop turns, `/ready` and `/health` answer 503 when `health` says no.
    """

    def __init__(
        self,
        metrics: WorkerMetrics,
        health: Callable[[], Health],
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
    ) -> None:
        self.host = host
        self.port = port  # the actual one, once started
        self._metrics = metrics
        self._health = health
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; port 0 is any free one.

        The default port in use makes way for a free one, for a second worker on a machine.

        Raises:
            SettingsError: a port other than the default is in use.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._on_metrics),
                web.get("/health", self._on_health),
                web.get("/live", self._on_live),
                web.get("/ready", self._on_ready),
            ]
        )
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=STOP_SECONDS
        )
        await runner.setup()
        try:
            await self._listen(runner)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = int(runner.addresses[0][1])
        logger.info("metrics and health on http://%s:%d", self.host, self.port)

    async def stop(self) -> None:
        """Stop listening and close what is open; harmless if it never started."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if self.port != DEFAULT_PORT:
                raise SettingsError(
                    f"port {self.port} on {self.host} is in use: "
                    "set STREAMS_WEB_PORT to another, or to 0 for any free one"
                ) from None
            await web.TCPSite(runner, self.host, 0).start()
            logger.warning(
                "port %d is in use, metrics and health are on port %d instead; "
                "set STREAMS_WEB_PORT to choose one",
                self.port,
                runner.addresses[0][1],
            )

    async def _on_metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _on_health(self, request: web.Request) -> web.Response:
        health = self._health()
        return web.json_response(health.body(), status=200 if health.healthy else 503)

    async def _on_live(self, request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _on_ready(self, request: web.Request) -> web.Response:
        ready = self._health().ready
        return web.json_response({"ready": ready}, status=200 if ready else 503)
