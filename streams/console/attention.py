"""What needs attention first, in words: decided from what queues, workers and errors say. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlencode

from streams.console.words import clock, number, several, short, span
from streams.projection.numbers import Ended
from streams.replay.workers import WorkerSeen

Severity = Literal["bad", "warning", "good"]

WINDOW_MS: Final = 15 * 60 * 1000
_SHARE: Final = 0.02  # of attempts that fail
_LEAST: Final = 5  # failures
_OLD_MS: Final = 60 * 1000
_STUCK_MS: Final = 10 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One sentence, and where to look."""

    severity: Severity
    text: str
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that is looked at; times in milliseconds since the epoch."""

    now: int
    queues: Sequence[Mapping[str, Any]]  # as answers show them
    oldest: Mapping[str, int]
    owners: Mapping[str, frozenset[int]]  # by queue: the partitions that some worker has
    partitions: int
    workers: Sequence[WorkerSeen]
    ended: Iterable[Ended]
    unread: int = 0  # records that nobody could read
    is_connected: bool = True  # Kafka answers, so that workers would be heard


def notices(s: Situation) -> list[Notice]:
    """The worst first; one that says that all is well if there is nothing."""
    found = [*_of_workers(s), *_of_queues(s), *_of_errors(s)]
    order = {"bad": 0, "warning": 1, "good": 2}
    found.sort(key=lambda notice: order[notice.severity])
    return found or [
        Notice(severity="good", text="All is well: nothing waits long, and nothing fails.")
    ]


def _of_workers(s: Situation) -> Iterable[Notice]:
    if not s.workers and not s.is_connected:
        yield Notice(
            severity="warning",
            text="Whether workers are at work is not known while Kafka does not answer.",
        )
        return
    if not s.workers:
        yield Notice(
            severity="bad",
            text="No worker is at work: nothing runs until one is started.",
            link="/ui/workers",
        )
        return
    versions = {worker.version for worker in s.workers}
    if len(versions) > 1:
        yield Notice(
            severity="warning",
            text=f"Workers have {len(versions)} versions: {', '.join(sorted(versions))}.",
            link="/ui/workers",
        )
    for worker in s.workers:
        if worker.longest is not None and s.now - worker.longest > _STUCK_MS:
            yield Notice(
                severity="warning",
                text=f"{worker.worker} runs something for {span(s.now - worker.longest)}.",
                link="/ui/workers",
            )


def _of_queues(s: Situation) -> Iterable[Notice]:
    for queue in s.queues:
        name = queue["name"]
        link = f"/ui/jobs?queue={name}&state=waiting"
        waiting = queue["waiting"]
        if queue["paused"] is not None and waiting:
            yield Notice(
                severity="warning",
                text=f"{name} is paused, and {_waits(waiting)}.",
                link="/ui/queues",
            )
        elif s.workers and waiting and not s.owners.get(name):
            yield Notice(
                severity="bad",
                text=f"{name}: {_waits(waiting)}, and no worker serves it.",
                link=link,
            )
        elif name in s.oldest and s.now - s.oldest[name] > _OLD_MS:
            yield Notice(
                severity="warning",
                text=f"{name}: the oldest of {several(waiting, 'waiting job')} has waited for "
                f"{span(s.now - s.oldest[name])}.",
                link=link + "&order=oldest",
            )


def _waits(count: int) -> str:
    return f"{several(count, 'job')} {'waits' if count == 1 else 'wait'}"


def _of_errors(s: Situation) -> Iterable[Notice]:
    attempts: Counter[str] = Counter()
    failed: Counter[tuple[str, str, str]] = Counter()
    dead: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str, str], int] = {}
    for each in s.ended:
        if each.at < s.now - WINDOW_MS:
            continue
        attempts[each.queue] += each.number
        if each.state in ("retrying", "dead"):
            which = (each.queue, each.name, each.error or "an error")
            failed[which] += each.number
            first.setdefault(which, each.at)
        if each.state == "dead":
            dead[each.queue, each.name] += each.number
    told: set[str] = set()  # queues whose letters a sentence about an error has counted
    for (queue, name, error), count in failed.most_common(5):
        share = count / max(1, attempts[queue])
        if count < _LEAST or share < _SHARE:
            continue
        gave_up = dead[queue, name]
        if gave_up:
            told.add(queue)
        then = f"; {several(gave_up, 'job')} gave up" if gave_up else ""
        since = clock(first[queue, name, error])[11:16]
        yield Notice(
            severity="bad" if gave_up or share > 0.2 else "warning",
            text=f"{queue}: {100 * share:.0f} % of attempts fail with {short(error)} in "
            f"{short(name)}, {number(count)} since {since}{then}.",
            link="/ui/jobs?" + urlencode({"queue": queue, "error": error}),
        )
    for queue_shown in s.queues:
        count = queue_shown["failed"]
        name = queue_shown["name"]
        if count and name not in told:
            yield Notice(
                severity="warning",
                text=f"{name}: {several(count, 'dead letter')} nobody has resolved.",
                link=f"/ui/dead-letters?queue={name}",
            )
    if s.unread:
        yield Notice(
            severity="warning",
            text=f"{several(s.unread, 'record')} that nobody could read.",
            link="/ui/dead-letters",
        )
