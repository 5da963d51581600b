"""One web port for all workers of a supervisor: their metrics side by side, and their health."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from streams.supervisor.children import Child

WITHIN: Final = 5.0  # seconds for a worker to answer
STOP_WITHIN: Final = 1.0
LABEL: Final = "process"


class SupervisorWeb:
    """GET /metrics, /health, /live and /ready, as a worker has them, for all of them.

    Each series has the number of its worker in the label `process`: a worker that is restarted
    counts from 0 again, which a sum would hide from Prometheus.
    """

    def __init__(self, children: Sequence[Child], host: str, port: int) -> None:
        self._children = children
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the port is in use.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._on_metrics),
                web.get("/health", lambda request: self._on_all("/health", "healthy")),
                web.get("/ready", lambda request: self._on_all("/ready", "ready")),
                web.get("/live", self._on_live),
            ]
        )
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=STOP_WITHIN
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; harmless if it never started."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _on_metrics(self, request: web.Request) -> web.Response:
        answers = await self._ask("/metrics")
        texts = {number: body.decode() for number, (_, body) in answers.items()}
        return web.Response(body=merged(texts), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _on_all(self, path: str, word: str) -> web.Response:
        """Yes if all of them say yes; a worker that does not answer says no."""
        answers = await self._ask(path)
        is_well = all(
            child.number in answers and answers[child.number][0] == web.HTTPOk.status_code
            for child in self._children
        )
        processes = {str(child.number): None for child in self._children}
        bodies = {str(n): body.decode(errors="replace") for n, (_, body) in answers.items()}
        told: dict[str, Any] = {word: is_well, "processes": {**processes, **_parsed(bodies)}}
        return web.json_response(told, status=200 if is_well else 503)

    async def _on_live(self, request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ask(self, path: str) -> dict[int, tuple[int, bytes]]:
        """What each worker answers, by its number; those that do not answer are left out."""
        timeout = aiohttp.ClientTimeout(total=WITHIN)
        async with aiohttp.ClientSession(timeout=timeout) as session:

            async def ask(child: Child) -> tuple[int, bytes] | None:
                try:
                    async with session.get(f"http://127.0.0.1:{child.port}{path}") as answer:
                        return answer.status, await answer.read()
                except (aiohttp.ClientError, OSError, TimeoutError):
                    return None

            answers = await asyncio.gather(*(ask(child) for child in self._children))
        return {
            child.number: answer
            for child, answer in zip(self._children, answers, strict=True)
            if answer is not None
        }


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def merged(texts: Mapping[int, str]) -> bytes:
    """The texts of several workers as one, each sample with its worker's number; pure."""
    families: dict[str, Metric] = {}
    for number, text in texts.items():
        for family in _families_of(text):
            whole = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                labels = {**sample.labels, LABEL: str(number)}
                whole.add_sample(sample.name, labels, sample.value)
    return generate_latest(_Families(families.values()))


def _families_of(text: str) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(text))
    except ValueError:  # whatever answered on this port was no worker of ours
        return []


def _parsed(bodies: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, body in bodies.items():
        with suppress(json.JSONDecodeError):
            found[number] = json.loads(body)
    return found
