"""Panels that several dashboards have, each of what is within its scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streams.dev.graphs import panels as unit
from streams.dev.graphs.panels import Lines, Query, Stat
from streams.dev.graphs.queries import Scope, quantile, rate, total
from streams.observe import metrics, sums


def by(
    label: str,
    title: str,
    about: str,
    series: str,
    *,
    measure: Callable[[str, str], str] = total,
    **look: Any,
) -> Lines:
    """A line for each value of a label; of queues each leads to its dashboard."""
    queries = [Query(measure(series, label), f"{{{{{label}}}}}")]
    return Lines(title=title, about=about, queries=queries, to_queue=label == "queue", **look)


def number(title: str, about: str, expr: str, **look: Any) -> Stat:
    """What something is now."""
    return Stat(title=title, about=about, queries=[Query(expr)], **look)


def over_by_outcome(scope: Scope) -> Lines:
    """How jobs end."""
    return by(
        "outcome",
        "Jobs that are over, by outcome",
        "How many jobs end in a second, and how. Dead ones are given up; they may be replayed.",
        rate(scope.of(metrics.JOBS)),
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
    return by(
        "state",
        "What became of all jobs",
        "Of all jobs that were taken from the queues since these were made: over by outcome, "
        "dead, or pending. They add up to what was accepted.",
        series,
        stacked=True,
    )


def quantiles(buckets: str) -> list[Query]:
    """The median, and what is worse."""
    return [Query(quantile(q, buckets), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)]
