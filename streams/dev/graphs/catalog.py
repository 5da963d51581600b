"""All dashboards, by the name of their file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.dev.graphs.dashboard import Dashboard
from streams.dev.graphs.overview import OVERVIEW
from streams.dev.graphs.queue import QUEUE
from streams.dev.graphs.worker import WORKER

DASHBOARDS: Final[Mapping[str, Dashboard]] = {
    "overview.json": OVERVIEW,
    "queue.json": QUEUE,
    "worker.json": WORKER,
}
