"""What is small and changes often, in memory: workers, pauses, owners, schedules, actions."""

from __future__ import annotations

from typing import Any, Final

from streams.projection.progress import Partition
from streams.replay.actions_seen import ActionsSeen
from streams.replay.workers import WorkerSeen, worker_seen
from streams.wire.envelope import Record
from streams.wire.outline import Readable
from streams.wire.topics import TopicNames
from streams.worker.control import Control

ACTIONS_KEPT: Final = 1_000
_RECORDS_OF_ONE: Final = 2  # that it began, and that it ended


class Board:
    """Takes the records of the control, the workers' and the actions' topic."""

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self._read: dict[Partition, int] = {}  # up to where
        self._ends: dict[Partition, int] = {}  # as they were when reading was begun
        self.forget()

    @property
    def topics(self) -> tuple[str, str, str]:
        """What it is made from."""
        return self._names.control, self._names.workers, self._names.actions

    def forget(self) -> None:
        """Be as empty as at first: what it was of is gone."""
        self._read.clear()
        self._ends.clear()
        for topic in self.topics:
            self._empty(topic)

    def begin(self, of: Partition, begin: int, end: int) -> int:
        """From where a topic is to be read; of one that was made anew nothing holds any more."""
        if end < self._read.get(of, 0):
            self._empty(of[0])
            self._read.pop(of, None)
        start = begin
        if of[0] == self._names.actions:
            start = max(begin, end - ACTIONS_KEPT * _RECORDS_OF_ONE)
        self._read[of] = max(start, self._read.get(of, 0))
        self._ends[of] = end
        return start

    def take(self, record: Readable) -> None:
        """Note what one record says."""
        of = (record.topic, record.partition)
        self._read[of] = max(record.offset + 1, self._read.get(of, 0))
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
        elif record.topic == self._names.actions:
            self.actions.take(record.value)
        elif record.key is not None:
            seen = worker_seen(record.key, record.value, record.timestamp)
            if seen is None:
                self._workers.pop(record.key, None)
            else:
                self._workers[record.key] = seen

    @property
    def has_actions(self) -> bool:
        """Whether the latest actions are here, all that there were when reading was begun."""
        ends = {of: end for of, end in self._ends.items() if of[0] == self._names.actions}
        return bool(ends) and all(self._read[of] >= end for of, end in ends.items())

    def workers(self, now: int) -> list[WorkerSeen]:
        """Who is at work, by name; who has gone without a word is not."""
        there = (each for each in self._workers.values() if not each.is_gone(now))
        return sorted(there, key=lambda each: each.worker)

    def _empty(self, topic: str) -> None:
        if topic == self._names.control:
            no_log: Any = None  # what is read here is told to it
            self.control = Control(no_log, topic)
        elif topic == self._names.actions:
            self.actions = ActionsSeen(ACTIONS_KEPT)
        else:
            self._workers: dict[bytes, WorkerSeen] = {}
