"""Panels that several dashboards have, each of what is within its scope."""

from __future__ import annotations

from streams.dev.graphs import panels as unit
from streams.dev.graphs.panels import Lines, Query
from streams.dev.graphs.queries import Scope, quantile, rate, total
from streams.observe import metrics, sums


def over_by_outcome(scope: Scope) -> Lines:
    """How jobs end."""
    return Lines(
        title="Jobs that are over, by outcome",
        about="How many jobs end in a second, and how. Dead ones are given up; they may be "
        "replayed.",
        queries=[Query(total(rate(scope.of(metrics.JOBS)), "outcome"), "{{outcome}}")],
        unit=unit.JOBS_PER_SECOND,
        stacked=True,
    )


def run_quantiles(scope: Scope, width: int = 8) -> Lines:
    """How long attempts take."""
    return Lines(
        title="How long attempts run",
        about="Half of all attempts, 95 and 99 of a hundred were over within this time, whatever "
        "their outcome.",
        queries=quantiles(scope.of(f"{metrics.RUN}_bucket")),
        unit=unit.SECONDS,
        width=width,
    )


def wait_quantiles(scope: Scope, width: int = 8) -> Lines:
    """How long jobs wait."""
    return Lines(
        title="How long jobs wait for an attempt",
        about="From the time at which a job was enqueued, or from which it was due, to the start "
        "of an attempt.",
        queries=quantiles(scope.of(f"{metrics.WAIT}_bucket")),
        unit=unit.SECONDS,
        width=width,
    )


def became(scope: Scope) -> Lines:
    """What the audit counts."""
    beside = "|".join(("accepted", *sums.NOT_ACCEPTED))
    series = scope.of(sums.AUDIT_JOBS, f'state!~"{beside}"')
    return Lines(
        title="What became of all jobs",
        about="Of all jobs that were taken from the queues since these were made: over by outcome, "
        "dead, or pending. They add up to what was accepted.",
        queries=[Query(total(series, "state"), "{{state}}")],
        stacked=True,
    )


def quantiles(buckets: str) -> list[Query]:
    """The median, and what is worse."""
    return [Query(quantile(q, buckets), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)]
