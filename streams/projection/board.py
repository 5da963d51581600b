"""What is small and changes often, in memory: workers, pauses, owners, schedules."""

from __future__ import annotations

from typing import Any

from streams.replay.workers import WorkerSeen, worker_seen
from streams.wire.envelope import Record
from streams.wire.outline import Readable
from streams.wire.topics import TopicNames
from streams.worker.control import Control


class Board:
    """Takes the records of the control and the workers' topic."""

    def __init__(self, names: TopicNames) -> None:
        no_log: Any = None  # what is read here is told to it
        self.control = Control(no_log, names.control)
        self._names = names
        self._workers: dict[bytes, WorkerSeen] = {}

    @property
    def topics(self) -> tuple[str, str]:
        """What it is made from."""
        return self._names.control, self._names.workers

    def take(self, record: Readable) -> None:
        """Note what one record says."""
        if record.topic == self._names.control:
            self.control.take(
                Record(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    timestamp=record.timestamp,
                    key=record.key,
                    value=record.value,
                )
            )
        elif record.key is not None:
            seen = worker_seen(record.key, record.value, record.timestamp)
            if seen is None:
                self._workers.pop(record.key, None)
            else:
                self._workers[record.key] = seen

    def workers(self, now: int) -> list[WorkerSeen]:
        """Who is at work, by name; who has gone without a word is not."""
        there = (each for each in self._workers.values() if not each.is_gone(now))
        return sorted(there, key=lambda each: each.worker)
