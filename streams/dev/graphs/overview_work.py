"""Rows of the overview: what is done, how long it takes, and what is not over."""

from __future__ import annotations

from typing import Final

from streams.dev.graphs import panels as unit
from streams.dev.graphs.dashboard import Row
from streams.dev.graphs.panels import Lines, Query
from streams.dev.graphs.queries import (
    highest,
    rate,
    share,
    total,
)
from streams.dev.graphs.scopes import (
    ATTEMPTS,
    DEAD,
    LAG,
    OPEN,
    OVER,
    QUEUES,
    RETRIED,
)
from streams.dev.graphs.shared import by, over_by_outcome, run_quantiles, wait_quantiles
from streams.observe import gauges, metrics

THROUGHPUT: Final = Row(
    "Throughput",
    [
        over_by_outcome(QUEUES),
        by(
            "queue",
            "Jobs that are over, by queue",
            "How many jobs of each queue end in a second, whatever their outcome.",
            rate(OVER),
            unit=unit.JOBS_PER_SECOND,
        ),
        Lines(
            title="Failures",
            about="The part of all attempts that failed, and the part of all jobs that were given "
            "up. Above 5 % of attempts for ten minutes it alarms.",
            queries=[
                Query(
                    share(f"{total(rate(RETRIED))} + {total(rate(DEAD))}", total(rate(ATTEMPTS))),
                    "failed attempts",
                ),
                Query(
                    share(total(rate(QUEUES.of(metrics.JOBS, outcome="dead"))), total(rate(OVER))),
                    "jobs given up",
                ),
            ],
            unit=unit.SHARE,
            limits=((0.05, "orange"),),
        ),
    ],
)

DURATIONS: Final = Row(
    "Durations",
    [
        run_quantiles(QUEUES),
        wait_quantiles(QUEUES),
        by(
            "queue",
            "Oldest wait, by queue",
            "For how long the oldest job of each queue waits that could run: what waits for "
            "its time, or behind another job of its key, does not count. Above 15 minutes it "
            "alarms.",
            QUEUES.of(gauges.OLDEST_WAITING),
            measure=highest,
            unit=unit.SECONDS,
        ),
    ],
)

DEPTH: Final = Row(
    "What is not over",
    [
        by(
            "queue",
            "Lag, by queue",
            "Records of each queue that are not settled or taken over yet, those that run "
            "counted in.",
            LAG,
            limits=((100, "orange"),),
        ),
        by(
            "state",
            "Open jobs, by state",
            "Jobs that wait on disk, not in the queue: scheduled are due later, retrying "
            "failed before, parked wait behind another job of their key or for a limit, sleeping "
            "asked to be called again; running are those that run for long.",
            OPEN,
            stacked=True,
        ),
        by(
            "queue",
            "Active, by queue",
            "Attempts that run: at most as many as there are slots.",
            QUEUES.of(gauges.ACTIVE),
            stacked=True,
        ),
        by(
            "queue",
            "Held back, by queue",
            "Jobs that a limit, a rate, a breaker or a pause holds back. `streams jobs why` "
            "says which one, for a job.",
            QUEUES.of(gauges.HELD),
        ),
        by(
            "queue",
            "Age of the commit, by queue",
            "For how long the commit of a partition has not moved though there is more "
            "behind it. It is near 0, unless slots are full of long jobs, the queue is paused, or "
            "the broker refuses what is written.",
            QUEUES.of(gauges.COMMIT_AGE),
            measure=highest,
            unit=unit.SECONDS,
        ),
        by(
            "queue",
            "Copies that were dropped",
            "Records of jobs that were known already: the same id was enqueued twice, or a "
            "worker repeats what it read before a crash.",
            rate(QUEUES.of(metrics.DUPLICATES)),
            unit=unit.PER_SECOND,
        ),
    ],
)
