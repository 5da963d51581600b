"""What the dashboards choose, by their variables, and what several of them ask for."""

from __future__ import annotations

from typing import Final

from streams.dev.graphs.queries import Scope, total
from streams.observe import gauges, metrics

ALL: Final = Scope('job=~"$job"')
QUEUES: Final = Scope('job=~"$job",queue=~"$queue"')

OVER: Final = QUEUES.of(metrics.JOBS)
ATTEMPTS: Final = QUEUES.of(f"{metrics.RUN}_count")
RETRIED: Final = QUEUES.of(metrics.RETRIES)
DEAD: Final = QUEUES.of(metrics.DEAD_LETTERS)
OPEN: Final = QUEUES.of(gauges.OPEN)
LAG: Final = QUEUES.of(gauges.LAG)
BUSY: Final = total(ALL.of(gauges.BUSY), "kind")
SLOTS: Final = total(ALL.of(gauges.SLOTS), "kind")
PARKED: Final = total(QUEUES.of(gauges.OPEN, state="parked"))
