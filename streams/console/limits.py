"""The limits of jobs, and how much of each is in use, by what workers and outcomes say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streams.durations import format_ms
from streams.jobs.definition import JobDefinition
from streams.projection.numbers import Ended
from streams.replay.workers import WorkerSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of a definition."""

    what: str
    most: int
    used: int | None = None  # None: it is not known from here
    about: bool = False  # `used` is an estimate


def limits_of(
    definition: JobDefinition,
    workers: Sequence[WorkerSeen],
    ended: Iterable[Ended],
    now: int,
) -> list[Limit]:
    """All of its limits. `ended` reaches back as far as the longest window of a rate."""
    name, queue = definition.name, definition.queue
    running = [
        sum(one.name == name and one.queue in (queue, "") for one in worker.running)
        for worker in workers
    ]
    found = []
    if definition.concurrency is not None:
        most = definition.concurrency
        found.append(Limit(what="at a time in one worker", most=most, used=max(running, default=0)))
    if definition.cluster_concurrency is not None:
        most = definition.cluster_concurrency
        found.append(Limit(what="at a time in all workers", most=most, used=sum(running)))
    if definition.key_concurrency is not None:
        found.append(Limit(what="at a time of one key", most=definition.key_concurrency))
    rate = definition.rate_limit
    if rate is not None:
        window = format_ms(rate.per_ms)
        if rate.by == "key":
            found.append(Limit(what=f"starts of one key in {window}", most=rate.max))
        else:
            used = sum(running) + sum(
                each.number
                for each in ended
                if each.name == name and each.queue == queue and each.at >= now - rate.per_ms
            )
            found.append(
                Limit(
                    what=f"starts in {window}", most=rate.max, used=min(used, rate.max), about=True
                )
            )
    return found
