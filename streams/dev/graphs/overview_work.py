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
from streams.dev.graphs.shared import over_by_outcome, run_quantiles, wait_quantiles
from streams.observe import gauges, metrics

THROUGHPUT: Final = Row(
    "Throughput",
    [
        over_by_outcome(QUEUES),
        Lines(
            title="Jobs that are over, by queue",
            about="How many jobs of each queue end in a second, whatever their outcome.",
            queries=[Query(total(rate(OVER), "queue"), "{{queue}}")],
            unit=unit.JOBS_PER_SECOND,
            to_queue=True,
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
        Lines(
            title="Oldest wait, by queue",
            about="For how long the oldest job of each queue waits that could run: what waits for "
            "its time, or behind another job of its key, does not count. Above 15 minutes it "
            "alarms.",
            queries=[Query(highest(QUEUES.of(gauges.OLDEST_WAITING), "queue"), "{{queue}}")],
            unit=unit.SECONDS,
            to_queue=True,
        ),
    ],
)

DEPTH: Final = Row(
    "What is not over",
    [
        Lines(
            title="Lag, by queue",
            about="Records of each queue that are not settled or taken over yet, those that run "
            "counted in.",
            queries=[Query(total(LAG, "queue"), "{{queue}}")],
            to_queue=True,
            limits=((100, "orange"),),
        ),
        Lines(
            title="Open jobs, by state",
            about="Jobs that wait on disk, not in the queue: scheduled are due later, retrying "
            "failed before, parked wait behind another job of their key or for a limit, sleeping "
            "asked to be called again; running are those that run for long.",
            queries=[Query(total(OPEN, "state"), "{{state}}")],
            stacked=True,
        ),
        Lines(
            title="Active, by queue",
            about="Attempts that run: at most as many as there are slots.",
            queries=[Query(total(QUEUES.of(gauges.ACTIVE), "queue"), "{{queue}}")],
            stacked=True,
            to_queue=True,
        ),
        Lines(
            title="Held back, by queue",
            about="Jobs that a limit, a rate, a breaker or a pause holds back. `streams jobs why` "
            "says which one, for a job.",
            queries=[Query(total(QUEUES.of(gauges.HELD), "queue"), "{{queue}}")],
            to_queue=True,
        ),
        Lines(
            title="Age of the commit, by queue",
            about="For how long the commit of a partition has not moved though there is more "
            "behind it. It is near 0, unless slots are full of long jobs, the queue is paused, or "
            "the broker refuses what is written.",
            queries=[Query(highest(QUEUES.of(gauges.COMMIT_AGE), "queue"), "{{queue}}")],
            unit=unit.SECONDS,
            to_queue=True,
        ),
        Lines(
            title="Copies that were dropped",
            about="Records of jobs that were known already: the same id was enqueued twice, or a "
            "worker repeats what it read before a crash.",
            queries=[Query(total(rate(QUEUES.of(metrics.DUPLICATES)), "queue"), "{{queue}}")],
            unit=unit.PER_SECOND,
            to_queue=True,
        ),
    ],
)
