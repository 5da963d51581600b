"""Ends jobs that wait, many at once: all of a queue, those of one name, or those of one key of it.

A purge means the jobs that were enqueued before it: its command says where the queue ended then.
What waits in the open table is gone through in pieces, a turn for each; what comes to its turn
before that, and what was not read yet, is cancelled as it comes. Until all is done the command is
not noted as obeyed, so whoever owns the partition after a crash does it again, which changes
nothing for what is over.

Who opens a partition knows of the purges in its commands before anything starts. They begin in
their turn nevertheless: what is replayed before them is meant as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import orjson

from streams.jobs.identity import JobKey
from streams.jobs.outcome import Cancelled
from streams.jobs.states import State
from streams.wire.commands import Command
from streams.wire.state import OpenEntry
from streams.worker import open_jobs
from streams.worker.attempt import Attempt
from streams.worker.ending import Ending
from streams.worker.outcomes import Outcomes
from streams.worker.owned import Owned
from streams.worker.settlement import Settlement

AT_ONCE: Final = 500  # entries looked at in a turn


@dataclass(slots=True)
class _Purge:
    command: Command
    offset: int  # of its record
    prefix: bytes  # of the state keys that it is about
    cursor: bytes = field(default=b"")  # below it all entries were looked at
    is_begun: bool = False  # else it is known, and its turn among the commands is to come
    is_through: bool = False  # the table

    def covers(self, job: JobKey, arrival: int, sent: int) -> bool:
        """Whether it ends this job, sent then, whose record was at this offset of the queue."""
        command = self.command
        is_late = bool(command.sent_by) and sent > command.sent_by
        is_meant = arrival < command.until and not is_late
        return is_meant and job.encode().startswith(self.prefix)

    def ends(self, entry: OpenEntry) -> bool:
        """Whether it ends this open job: one that has run and is to run again does not wait.

        One that only may have run does. One that was replayed after it is not meant.
        """
        may_end = not entry.has_run or self.command.interrupts
        is_meant = entry.state is not State.DEAD and entry.commanded < self.offset
        return may_end and is_meant and self.covers(entry.job, entry.arrival, entry.time)

    def ends_in_hand(self, attempt: Attempt) -> bool:
        """Whether it ends this job, whose handler may be at work."""
        if attempt.started is not None and not self.command.interrupts:
            return False
        if attempt.entry is not None:
            return self.ends(attempt.entry)
        return self.covers(attempt.job, attempt.record.offset, attempt.envelope.time)

    def is_past(self, state_key: bytes) -> bool:
        """Whether the table was looked through beyond this job."""
        return self.is_through or state_key < self.cursor

    @property
    def reason(self) -> str:
        return self.command.reason or "purged"


def prefix_of(job: JobKey) -> bytes:
    """What the state keys begin with that a purge of this name and key is about; empty: all."""
    if not job.name:
        return b""
    parts = [job.name] if job.ordering_key is None else [job.name, job.ordering_key]
    return orjson.dumps(parts)[:-1] + b","


class Purges:
    """Those of one partition that are not done."""

    def __init__(self, owned: Owned, outcomes: Outcomes, ending: Ending) -> None:
        self._owned = owned
        self._outcomes = outcomes
        self._ending = ending
        self._purges: list[_Purge] = []

    def __bool__(self) -> bool:
        return bool(self._purges)

    @property
    def has_work(self) -> bool:
        """Whether a further turn would go on with the table."""
        return any(purge.is_begun and not purge.is_through for purge in self._purges)

    @property
    def kept(self) -> list[int]:
        """The offsets of their commands."""
        return [purge.offset for purge in self._purges]

    def foresee(self, command: Command, offset: int) -> _Purge:
        """Know of one that is to begin: what it covers does not start any more."""
        known = next((purge for purge in self._purges if purge.offset == offset), None)
        if known is None:
            prefix = prefix_of(command.job)
            known = _Purge(command, offset, prefix, cursor=prefix)
            self._purges.append(known)
        return known

    def begin(self, command: Command, offset: int, settlement: Settlement, now: int) -> None:
        """Begin one; what is in hand and has not started ends at once."""
        purge = self.foresee(command, offset)
        if purge.is_begun:
            return  # a copy
        purge.is_begun = True
        for attempt in self._owned.hand:
            if purge.ends_in_hand(attempt):
                if attempt.submitted:
                    self._ending.tell(attempt, purge.reason, offset)
                else:
                    ended = Cancelled(purge.reason)
                    self._outcomes.conclude(attempt, ended, settlement, now)

    def reason_for(self, job: JobKey, offset: int, sent: int) -> str | None:
        """Why a job that is being read has ended already, if it has."""
        if not self._purges:  # the usual case, and it costs nothing
            return None
        found = (purge for purge in self._purges if purge.covers(job, offset, sent))
        return next((purge.reason for purge in found), None)

    def end_before_start(self, entry: OpenEntry, settlement: Settlement, now: int) -> bool:
        """End an open job that was about to start, if one of these is to come to it still."""
        state_key = entry.job.encode()
        for purge in self._purges:
            if not purge.is_past(state_key) and purge.ends(entry):
                self._end_open(entry, purge.reason, settlement, now)
                return True
        return False

    def _end_open(self, entry: OpenEntry, reason: str, settlement: Settlement, now: int) -> None:
        unique_for_ms = self._owned.unique_for_ms(entry.job)
        open_jobs.cancel(entry, reason, settlement, self._owned.place, now, unique_for_ms)

    def go_on(self, settlement: Settlement, now: int) -> None:
        """Look at some more entries; forget those purges that are done."""
        for purge in self._purges:
            if purge.is_begun and not purge.is_through:
                self._look(purge, settlement, now)
                break
        position = self._owned.watermark.position
        self._purges = [
            purge
            for purge in self._purges
            if not purge.is_through or position < purge.command.until
        ]

    def _look(self, purge: _Purge, settlement: Settlement, now: int) -> None:
        owned = self._owned
        seen = 0
        for entry in islice(owned.tables.entries(purge.cursor), AT_ONCE):
            state_key = entry.job.encode()
            if not state_key.startswith(purge.prefix):
                break
            seen += 1
            purge.cursor = state_key + b"\x00"
            known = owned.entry(state_key, settlement)
            if known is None or state_key in owned.hand:
                continue
            # Both: one that ran until this turn is no job that waited.
            if purge.ends(entry) and purge.ends(known):
                self._end_open(known, purge.reason, settlement, now)
        purge.is_through = seen < AT_ONCE
