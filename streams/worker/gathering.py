"""Jobs that are to run in one call: gathered until they are enough, or have waited for long enough.

A group stands in line as one attempt, its ticket, which has the slot and counts for limits. Until
that starts more jobs may join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from streams.jobs.batching import Batch
from streams.jobs.context import JobContext
from streams.jobs.outcome import Outcome
from streams.sensitive import secrets_of
from streams.worker.attempt import Attempt
from streams.worker.ports import Alarm, Clock
from streams.worker.suspects import ALONE_FROM

GroupKey = tuple[str, str, str | None]  # queue, name, and the ordering key if it is by key


@dataclass(slots=True, eq=False)
class Group:
    """Jobs that run in one call, in the order in which they came."""

    key: GroupKey
    batch: Batch
    ticket: Attempt
    members: list[Attempt] = field(default_factory=list)
    is_in_line: bool = False  # its ticket waits for a slot, or has one
    has_started: bool = False
    alarm: Alarm | None = None
    error: BaseException | None = None  # by which the call as a whole ended
    outcomes: dict[bytes, Outcome] = field(default_factory=dict)  # by state key
    raised: dict[bytes, BaseException] = field(default_factory=dict)  # by which some failed
    contexts: dict[bytes, JobContext] = field(default_factory=dict)
    secrets: frozenset[str] | None = None  # once they were looked for

    @property
    def has_cancelled(self) -> bool:
        """Whether somebody cancelled one of its jobs."""
        return any(member.cancelled is not None for member in self.members)

    def find_secrets(self) -> frozenset[str]:
        """What is sensitive in any of its jobs: what is said in one call may be of each."""
        if self.secrets is None:
            self.secrets = frozenset().union(*(_secrets_of(each) for each in self.members))
        return self.secrets

    @property
    def is_gathering(self) -> bool:
        """Whether it waits for more jobs, or for its time."""
        return not self.is_in_line


class Gathering:
    """The groups of one worker that have not started; `line_up` puts a ticket in line."""

    def __init__(self, clock: Clock, line_up: Callable[[Attempt], None]) -> None:
        self._clock = clock
        self._line_up = line_up
        self._open: dict[GroupKey, Group] = {}  # which others may join

    def add(self, attempt: Attempt) -> None:
        """Let a job wait for others."""
        batch = attempt.definition.batch
        assert batch is not None
        key = _key_of(attempt, batch)
        if _may_end_its_worker(attempt):
            self._line_up_group(self._begin(key, batch, attempt))  # others must not end with it
            return
        group = self._open.get(key)
        if group is None:
            group = self._open[key] = self._begin(key, batch, attempt)
            at = self._clock.now() + batch.wait_ms
            group.alarm = self._clock.call_at(at, lambda: self._line_up_group(group))
        else:
            self._join(group, attempt)
        if len(group.members) >= batch.size:
            self.close(group)
            self._line_up_group(group)

    def joins(self, running: Attempt, follower: Attempt) -> bool:
        """Whether a job would run in the same call as an earlier one of its key."""
        group = running.group
        if group is None or follower.definition is not running.definition:
            return False
        is_open = self._open.get(group.key) is group
        return is_open and not _may_end_its_worker(follower)

    def again(self, attempts: list[Attempt]) -> None:
        """Let jobs run together once more, of which the last call was cut short."""
        batch = attempts[0].definition.batch
        assert batch is not None
        group = self._begin(_key_of(attempts[0], batch), batch, attempts[0])
        for attempt in attempts[1:]:
            self._join(group, attempt)
        self._line_up_group(group)

    def told(self) -> Iterator[dict[str, str | None]]:
        """Which jobs wait for more of them, and how many are there: for those who ask why."""
        for (_, name, key), group in self._open.items():
            if group.is_gathering:
                count = f"{len(group.members)} of {group.batch.size} are there"
                yield {"name": name, "key": key, "reason": count}

    def close(self, group: Group) -> None:
        """Nobody joins any more."""
        if self._open.get(group.key) is group:
            del self._open[group.key]
        if group.alarm is not None:
            group.alarm.cancel()
            group.alarm = None

    def remove(self, attempt: Attempt) -> Group | None:
        """A job waits no more; the group that has nobody left, if it was in line."""
        group = attempt.group
        assert group is not None
        group.members.remove(attempt)
        attempt.group = attempt.held_by = None
        if group.members:
            return None
        self.close(group)
        return group if group.is_in_line else None

    def _begin(self, key: GroupKey, batch: Batch, first: Attempt) -> Group:
        ticket = replace(first, group=None, notebook=None, key_rate=None, single=None)
        group = Group(key, batch, ticket)
        ticket.group = group
        self._join(group, first)
        return group

    def _join(self, group: Group, attempt: Attempt) -> None:
        attempt.group = group
        group.members.append(attempt)
        ticket = group.ticket
        attempt.held_by, attempt.held_since = ticket.held_by, ticket.held_since
        ticket.timeout_ms = min(ticket.timeout_ms, attempt.timeout_ms)

    def _line_up_group(self, group: Group) -> None:
        """Its time has come, or it is full: it is next in line, where others may join still."""
        if group.alarm is not None:
            group.alarm.cancel()
            group.alarm = None
        if not group.is_in_line and group.members:
            group.is_in_line = True
            self._line_up(group.ticket)


def secrets_of_call(attempt: Attempt) -> frozenset[str]:
    """What is sensitive in a job, and in those that run in one call with it."""
    group = attempt.group
    return _secrets_of(attempt) if group is None else group.find_secrets()


def _secrets_of(attempt: Attempt) -> frozenset[str]:
    return secrets_of(attempt.definition.payload_type, attempt.envelope.payload)


def _key_of(attempt: Attempt, batch: Batch) -> GroupKey:
    key = attempt.job.ordering_key if batch.by == "key" else None
    return attempt.queue, attempt.job.name, key


def _may_end_its_worker(attempt: Attempt) -> bool:
    entry = attempt.entry
    if entry is None or not entry.starts:
        return False
    # Of what waited when a worker died nearly nothing ran: all of it alone would be many calls.
    return entry.has_run or entry.starts >= ALONE_FROM
