"""The dashboard of one queue, with its jobs by name."""

from __future__ import annotations

from typing import Final

from streams.dev.graphs import panels as unit
from streams.dev.graphs.colours import BAD, GOOD, WARNING
from streams.dev.graphs.dashboard import Dashboard, Row, Variable
from streams.dev.graphs.panels import Heat, Lines, Query, Table
from streams.dev.graphs.queries import Scope, grown, highest, quantile, rate, share, total
from streams.dev.graphs.shared import (
    became,
    by,
    number,
    over_by_outcome,
    run_quantiles,
    wait_quantiles,
)
from streams.observe import gauges, metrics, sums

_QUEUE: Final = Scope('job=~"$job",queue="$queue"')
_NAMES: Final = Scope('job=~"$job",queue="$queue",name=~"$name"')

OVER: Final = _NAMES.of(metrics.JOBS)
RETRIED: Final = _NAMES.of(metrics.RETRIES)
DEAD: Final = _NAMES.of(metrics.DEAD_LETTERS)
ATTEMPTS: Final = _NAMES.of(f"{metrics.RUN}_count")


def _open(state: str) -> str:
    return total(_QUEUE.of(gauges.OPEN, state=state))


NOW: Final = Row(
    "Now",
    [
        number(
            "Paused",
            "Whether an operator has paused the queue: `streams queues resume` lets it go on.",
            highest(_QUEUE.of(gauges.PAUSED)),
            words=((0, "no", GOOD), (1, "yes", WARNING)),
        ),
        number(
            "Lag",
            "Records that are not settled or taken over yet, those that run counted in.",
            total(_QUEUE.of(gauges.LAG)),
            steps=((None, GOOD), (100, WARNING), (1_000, BAD)),
        ),
        number("Active", "Attempts that run at this moment.", total(_QUEUE.of(gauges.ACTIVE))),
        number("Delayed", "Jobs that are due later.", _open("scheduled")),
        number(
            "Retrying",
            "Jobs that failed and wait for their next attempt.",
            _open("retrying"),
            steps=((None, GOOD), (1, WARNING)),
        ),
        number(
            "Parked",
            "Jobs that wait behind another one of their key, or for a limit.",
            _open("parked"),
        ),
        number(
            "Dead letters",
            "Jobs that were given up, and whose letters nobody has resolved.",
            total(_QUEUE.of(gauges.DEAD_NOW)),
            steps=((None, GOOD), (1, WARNING), (50, BAD)),
        ),
        number(
            "Oldest wait",
            "For how long the job waits that has waited longest, of those that could run.",
            highest(_QUEUE.of(gauges.OLDEST_WAITING)),
            unit=unit.SECONDS,
            steps=((None, GOOD), (60, WARNING), (900, BAD)),
        ),
    ],
)

THROUGHPUT: Final = Row(
    "Throughput",
    [
        over_by_outcome(_NAMES),
        Lines(
            title="Jobs that are over, by name",
            about="How many jobs of each name end in a second; the twenty that do most.",
            queries=[Query(f"topk(20, {total(rate(OVER), 'name')})", "{{name}}")],
            unit=unit.JOBS_PER_SECOND,
        ),
        Lines(
            title="Failed attempts, by name",
            about="The part of the attempts of each name that failed, whether or not they are "
            "tried again.",
            queries=[
                Query(
                    share(
                        f"{total(rate(RETRIED), 'name')} + {total(rate(DEAD), 'name')}",
                        total(rate(ATTEMPTS), "name"),
                    ),
                    "{{name}}",
                )
            ],
            unit=unit.SHARE,
            limits=((0.05, "orange"),),
        ),
    ],
)

DURATIONS: Final = Row(
    "Durations",
    [
        Heat(
            title="Attempts, by how long they ran",
            about="How many attempts ran for how long: two bands are two kinds of jobs, or one "
            "that waits for something.",
            queries=[
                Query(total(rate(_NAMES.of(f"{metrics.RUN}_bucket")), "le"), "{{le}}"),
            ],
            unit=unit.SECONDS,
        ),
        Lines(
            title="p95 of attempts, by name",
            about="95 of a hundred attempts of each name were over within this time.",
            queries=[Query(quantile(0.95, _NAMES.of(f"{metrics.RUN}_bucket"), "name"), "{{name}}")],
            unit=unit.SECONDS,
            width=12,
        ),
        run_quantiles(_NAMES, width=12),
        wait_quantiles(_NAMES, width=12),
    ],
)

DEPTH: Final = Row(
    "What is not over",
    [
        Lines(
            title="Jobs, by where they are",
            about="Those in the queue (queued; among them the active ones that were not taken "
            "over), and those that wait on disk, by state. Active and held ones are counted "
            "there as well.",
            queries=[
                Query(total(_QUEUE.of(gauges.LAG)), "queued"),
                *(
                    Query(_open(state), state)
                    for state in ("running", "retrying", "parked", "scheduled", "sleeping")
                ),
            ],
            stacked=True,
            width=12,
        ),
        Lines(
            title="Active and held back",
            about="Attempts that run, and jobs that a limit, a rate, a breaker or a pause holds "
            "back: `streams jobs why` says which one, for a job.",
            queries=[
                Query(total(_QUEUE.of(gauges.ACTIVE)), "active"),
                Query(total(_QUEUE.of(gauges.HELD)), "held"),
            ],
            width=12,
        ),
        Lines(
            title="Oldest wait, by worker",
            about="For how long the oldest job waits in each worker that could run.",
            queries=[Query(_QUEUE.of(gauges.OLDEST_WAITING), "{{instance}} {{process}}")],
            unit=unit.SECONDS,
        ),
        Lines(
            title="Age of the commit, by worker",
            about="For how long the commit of a partition has not moved though there is more "
            "behind it. It is near 0, unless slots are full of long jobs, the queue is paused, or "
            "the broker refuses what is written.",
            queries=[Query(_QUEUE.of(gauges.COMMIT_AGE), "{{instance}} {{process}}")],
            unit=unit.SECONDS,
        ),
        Lines(
            title="Partitions, by worker",
            about="How the partitions of the queue are shared. Their sum is the same at all "
            "times but during a rebalance.",
            queries=[Query(_QUEUE.of(gauges.PARTITIONS), "{{instance}} {{process}}")],
            stacked=True,
        ),
    ],
)

LETTERS: Final = Row(
    "Dead letters",
    [
        Lines(
            title="Dead letters",
            about="How many there are that nobody has resolved, and how many jobs were given up "
            "within ten minutes.",
            queries=[
                Query(total(_QUEUE.of(gauges.DEAD_NOW)), "dead"),
                Query(total(grown(DEAD, "10m")), "jobs given up"),
            ],
        ),
        Lines(
            title="Replays and retries",
            about="Dead jobs that were replayed, and attempts that failed and are tried again.",
            queries=[
                Query(total(rate(_NAMES.of(metrics.REPLAYS))), "replayed"),
                Query(total(rate(RETRIED)), "failed attempts"),
            ],
            unit=unit.JOBS_PER_SECOND,
        ),
        Lines(
            title="Checkpoints",
            about="What long jobs keep, so that their next attempt goes on from there.",
            queries=[Query(total(rate(_NAMES.of(metrics.CHECKPOINTS))), "checkpoints")],
            unit=unit.PER_SECOND,
        ),
        Table(
            title="By name",
            about="What became of the jobs of each name within the time that is shown.",
            queries=[
                Query(total(grown(series, "$__range"), "name"))
                for series in (
                    _NAMES.of(metrics.JOBS, outcome="completed"),
                    RETRIED,
                    DEAD,
                    _NAMES.of(metrics.REPLAYS),
                )
            ],
            labels=("name",),
            columns=("completed", "retried", "given up", "replayed"),
            sort_by="given up",
            width=24,
        ),
    ],
)

AUDIT: Final = Row(
    "The audit",
    [
        became(_QUEUE),
        by(
            "state",
            "Records that are no job of their own",
            "Copies that were dropped, records that were sent on to their own partition, and "
            "those that could not be decoded, since the queue was made.",
            _QUEUE.of(sums.AUDIT_JOBS, f'state=~"{"|".join(sums.NOT_ACCEPTED)}"'),
        ),
        Table(
            title="By partition",
            about="How many jobs each partition has taken, how many of them are pending, and how "
            "many are unaccounted for: 0. One partition with far more than the others has a hot "
            "key.",
            queries=[
                Query(total(_QUEUE.of(sums.AUDIT_JOBS, state="accepted"), "partition")),
                Query(total(_QUEUE.of(sums.AUDIT_JOBS, state="pending"), "partition")),
                Query(total(_QUEUE.of(sums.AUDIT_UNACCOUNTED), "partition")),
            ],
            labels=("partition",),
            columns=("accepted", "pending", "unaccounted"),
            sort_by="accepted",
        ),
    ],
)

QUEUE: Final = Dashboard(
    uid="jobstreams-queue",
    title="jobstreams: one queue",
    about="One queue of jobstreams, its jobs by name, its partitions.",
    variables=[
        Variable(name="job", label="Job", query=f"label_values({gauges.INFO}, job)", many=True),
        Variable(
            name="queue",
            label="Queue",
            query=f'label_values({gauges.LAG}{{job=~"$job"}}, queue)',
        ),
        Variable(
            name="name",
            label="Job name",
            query=f'label_values({metrics.JOBS}{{job=~"$job",queue="$queue"}}, name)',
            many=True,
        ),
    ],
    rows=[NOW, THROUGHPUT, DURATIONS, DEPTH, LETTERS, AUDIT],
)
