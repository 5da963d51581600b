"""Who is at work, as the workers' topic tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streams.durations import format_ms
from streams.wire.reader import read_topics
from streams.worker.openings import UNKNOWN_FOR_MS
from streams.worker.presence import GONE_AFTER_MS

_TOLD_MAX: Final = 3  # workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An attempt that a worker ran when it was heard of last; times in ms since the epoch."""

    name: str
    id: str
    key: str | None
    attempt: int
    since: int
    queue: str = ""  # not told by workers of earlier versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """For what jobs of a name, or of a key of it, wait in the memory of their worker."""

    name: str
    key: str | None
    reason: str

    def holds(self, name: str, key: str | None) -> bool:
        """Whether a job like this one is meant."""
        return self.name == name and self.key in (None, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """What one worker said of itself last; times in milliseconds since the epoch."""

    worker: str
    group: str
    version: str
    started: int
    seen: int  # by the broker's clock
    partitions: Mapping[str, tuple[int, ...]]  # by queue
    standbys: Mapping[str, tuple[int, ...]]  # whose state it keeps a copy of
    in_hand: int  # jobs that it has taken and not settled
    running: tuple[Running, ...]  # a hundred at most
    limits: tuple[Held, ...] = ()
    calls: tuple[Held, ...] = ()  # that gather for one
    full: tuple[str, ...] = ()  # kinds of slots that are waited for
    handlers: frozenset[str] | None = None  # names of the jobs that it can run, if it says so

    def is_gone(self, now: int) -> bool:
        """Whether nothing was heard of it for so long that others count it as gone."""
        return now - self.seen > GONE_AFTER_MS

    @property
    def longest(self) -> int | None:
        """Since when the oldest of its attempts runs."""
        return min((one.since for one in self.running), default=None)


async def read_workers(bootstrap: str, topic: str) -> list[WorkerSeen]:
    """All workers that have not said goodbye, by name; what can't be read is left out.

    Raises:
        BrokerUnavailable: the broker did not answer.
        TopicMismatch: there is no such topic.
    """
    found: dict[bytes, WorkerSeen | None] = {}
    async for record in read_topics(bootstrap, [topic]):
        if record.key is not None:
            found[record.key] = worker_seen(record.key, record.value, record.timestamp)
    seen = [worker for worker in found.values() if worker is not None]
    return sorted(seen, key=lambda worker: worker.worker)


def unready(workers: Iterable[WorkerSeen], queue: str, jobs: Iterable[str], now: int) -> list[str]:
    """Why jobs with these names would wait in a queue; nothing if nothing speaks against them."""
    serving = [each for each in workers if queue in each.partitions and not each.is_gone(now)]
    if not serving:
        return [f"no worker serves the queue {queue}: jobs wait for one"]
    told = []
    for job in jobs:
        lacking = [w.worker for w in serving if w.handlers is not None and job not in w.handlers]
        if lacking:
            more = len(lacking) - _TOLD_MAX
            who = ", ".join(lacking[:_TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
            do, have = ("serves", "has") if len(lacking) == 1 else ("serve", "have")
            told.append(
                f"{who} {do} the queue {queue} and {have} no handler {job}: its jobs wait there "
                f"for a worker that has, {format_ms(UNKNOWN_FOR_MS)} at most, and are dead then; "
                "STREAMS_HANDLERS has to name it, in the new code"
            )
    return told


def worker_seen(key: bytes, value: bytes | None, timestamp: int) -> WorkerSeen | None:
    """What a record of the workers' topic says; None if its worker is gone, or it says nothing."""
    if value is None:
        return None
    try:
        said = orjson.loads(value)
        return WorkerSeen(
            worker=key.decode(errors="replace"),
            group=str(said["group"]),
            version=str(said.get("version", "")),
            started=int(said["started"]),
            seen=timestamp,
            partitions={queue: tuple(sorted(held)) for queue, held in said["partitions"].items()},
            standbys=_by_queue(said.get("standbys", [])),
            in_hand=int(said["in_hand"]),
            running=tuple(
                Running(
                    name=str(one["name"]),
                    id=str(one["id"]),
                    key=one["key"],
                    attempt=int(one["attempt"]),
                    since=int(one["since"]),
                    queue=str(one.get("queue", "")),
                )
                for one in said["running"]
            ),
            limits=_held(said.get("limits", ())),
            calls=_held(said.get("calls", ())),
            full=tuple(map(str, said.get("full", ()))),
            handlers=None if said.get("handlers") is None else frozenset(said["handlers"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _held(told: Any) -> tuple[Held, ...]:
    return tuple(
        Held(name=str(each["name"]), key=each["key"], reason=str(each["reason"])) for each in told
    )


def _by_queue(places: list[Any]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for queue, partition in places:
        found.setdefault(str(queue), []).append(int(partition))
    return {queue: tuple(sorted(held)) for queue, held in sorted(found.items())}
