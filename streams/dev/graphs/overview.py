"""The first dashboard: all queues of all workers, and whether anything is wrong."""

from __future__ import annotations

from typing import Final

from streams.dev.graphs import panels as unit
from streams.dev.graphs.colours import BAD, GOOD, WARNING
from streams.dev.graphs.dashboard import Dashboard, Row, Variable
from streams.dev.graphs.overview_care import AUDIT, LETTERS, SCHEDULES, WORKERS
from streams.dev.graphs.overview_work import DEPTH, DURATIONS, THROUGHPUT
from streams.dev.graphs.queries import (
    highest,
    total,
)
from streams.dev.graphs.scopes import (
    ALL,
    LAG,
    PARKED,
    QUEUES,
)
from streams.dev.graphs.shared import number
from streams.observe import gauges, sums

NOW: Final = Row(
    "Now",
    [
        number(
            "Workers",
            "Workers that answer. None of them: nothing runs at all.",
            f"count({ALL.of(gauges.INFO)}) or vector(0)",
            steps=((None, BAD), (1, GOOD)),
        ),
        number(
            "Waiting",
            "Records in the queues that are not settled or taken over yet, and jobs that are "
            "parked behind others or held back. Above 100 for five minutes it alarms.",
            f"{total(LAG)} + {PARKED}",
            steps=((None, GOOD), (100, WARNING), (1_000, BAD)),
        ),
        number("Active", "Attempts that run at this moment.", total(QUEUES.of(gauges.ACTIVE))),
        number(
            "Delayed", "Jobs that are due later.", total(QUEUES.of(gauges.OPEN, state="scheduled"))
        ),
        number(
            "Retrying",
            "Jobs that failed and wait for their next attempt.",
            total(QUEUES.of(gauges.OPEN, state="retrying")),
            steps=((None, GOOD), (1, WARNING)),
        ),
        number(
            "Dead letters",
            "Jobs that were given up, and whose letters nobody has replayed or discarded.",
            total(QUEUES.of(gauges.DEAD_NOW)),
            steps=((None, GOOD), (1, WARNING), (50, BAD)),
        ),
        number(
            "Oldest wait",
            "For how long the job waits that has waited longest, of those that could run.",
            highest(QUEUES.of(gauges.OLDEST_WAITING)),
            unit=unit.SECONDS,
            steps=((None, GOOD), (60, WARNING), (900, BAD)),
        ),
        number(
            "Unaccounted",
            "Jobs that were taken and are neither over, nor dead, nor pending. It is 0; if "
            "it is not, `streams audit` names them.",
            total(QUEUES.of(sums.AUDIT_UNACCOUNTED)),
            steps=((None, BAD), (0, GOOD), (1, BAD)),
        ),
    ],
)

OVERVIEW: Final = Dashboard(
    uid="jobstreams-overview",
    title="jobstreams: overview",
    about="All queues and workers of jobstreams: what runs, what waits, what fails.",
    variables=[
        Variable(name="job", label="Job", query=f"label_values({gauges.INFO}, job)", many=True),
        Variable(
            name="queue",
            label="Queue",
            query=f'label_values({gauges.LAG}{{job=~"$job"}}, queue)',
            many=True,
        ),
    ],
    rows=[NOW, THROUGHPUT, DURATIONS, DEPTH, LETTERS, SCHEDULES, AUDIT, WORKERS],
)
