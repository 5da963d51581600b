"""`/metrics`: how the console answers, and what the projection has, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from streams.console.api.shared import Served
from streams.console.console import Console
from streams.projection.numbers import Count, counts, oldest_waiting

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(console: Served, request: Request) -> Response:
    """Numbers in the form of Prometheus; jobs by queue and state are those of the projection."""
    numbers: list[Count] = []
    oldest: dict[str, int] = {}
    if console.feed.opened.is_set():
        numbers, oldest = await console.ask(lambda db: (counts(db), oldest_waiting(db)))
    once = CollectorRegistry()
    once.register(_Now(console, numbers, oldest))
    kept: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(kept) + generate_latest(once), media_type=CONTENT_TYPE_LATEST)


class _Now:
    def __init__(self, console: Console, numbers: list[Count], oldest: dict[str, int]) -> None:
        self._console = console
        self._numbers = numbers
        self._oldest = oldest

    def collect(self) -> Iterator[Metric]:
        """What is so at this moment."""
        feed = self._console.feed
        for name, told, value in (
            ("connected", "Whether Kafka answers.", float(feed.is_connected)),
            ("projection_lag", "Records that are not read yet.", float(feed.lag)),
            ("readers", "Who follow jobs or wait for them.", float(self._console.readers.number)),
        ):
            yield GaugeMetricFamily(f"streams_console_{name}", told, value=value)
        jobs = GaugeMetricFamily(
            "streams_console_jobs", "Jobs by queue and state.", labels=("queue", "state")
        )
        found: dict[tuple[str, str], int] = {}
        for each in self._numbers:
            found[each.queue, each.state] = found.get((each.queue, each.state), 0) + each.number
        for (queue, state), number in sorted(found.items()):
            jobs.add_metric((queue, state), number)
        yield jobs
        ages = GaugeMetricFamily(
            "streams_console_oldest_waiting_seconds",
            "For how long the oldest job waits that may run.",
            labels=("queue",),
        )
        for queue, since in sorted(self._oldest.items()):
            ages.add_metric((queue,), max(0.0, time.time() - since / 1000))
        yield ages
