"""The purges of a schedule: which jobs each of them means, and what must become of those."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from streams.testing.coordinator import Partition
from streams.testing.watched import Epoch, Watched

Fault = Callable[[str, str], None]


@dataclass(eq=False, slots=True, kw_only=True)
class Purge:
    """One command, and what was known of the jobs that it means when it was written."""

    reason: str  # no other one has it
    place: Partition  # of the queue
    offset: int  # of the command in its topic
    name: str  # of the jobs that are meant; empty: all
    key: str | None  # of the jobs that are meant; None: all
    until: int  # where the queue ended
    sent_by: int  # those sent later are not meant; 0: any time
    interrupts: bool
    # Those that waited. None of them starts where this is known, and each is cancelled.
    waiting: dict[Watched, None] = field(default_factory=dict)
    # If it interrupts, those that ran: they may end by themselves, and do not run once more.
    running: dict[Watched, None] = field(default_factory=dict)
    dead: set[Watched] = field(default_factory=set)  # not meant, since none was to be replayed

    def means(self, job: Watched) -> bool:
        """Whether it may end this job, whenever that was sent."""
        is_named = self.name in ("", job.kind) and self.key in (None, job.ordering_key)
        return is_named and job.place == self.place and 0 <= job.arrival < self.until

    def is_sent_in_time(self, time: int) -> bool:
        """Whether a job that was sent at this time is meant."""
        return not self.sent_by or time <= self.sent_by


class Purges:
    """All of them, and whether what is promised of each holds."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._purges: dict[str, Purge] = {}
        self.cancelled = 0

    def written(self, purge: Purge, jobs: Iterable[Watched], in_flight: set[Watched]) -> None:
        """A command is in its topic; `in_flight` are the jobs that run."""
        self._purges[purge.reason] = purge
        for job in jobs:
            if not purge.means(job):
                continue
            if job.settled:
                if job.state == "dead" and job.generation not in job.replays:
                    purge.dead.add(job)
                continue
            job.may_be_purged = True
            if len(job.times) > 1:
                continue  # which one of its enqueueings it is now nobody can tell
            if purge.sent_by and not (job.times and purge.is_sent_in_time(job.times[0])):
                continue
            if job not in in_flight and job.waits:
                purge.waiting[job] = None
            elif purge.interrupts:
                purge.running[job] = None

    def began(self, job: Watched, epoch: Epoch) -> None:
        """An attempt begins."""
        for purge in self._purges.values():
            if job not in purge.waiting and job not in purge.running:
                continue
            if purge.offset < epoch.commands_taken():
                self._fault("safety", f"{job.id} began after the {purge.reason} that means it")
            purge.waiting.pop(job, None)
            if purge.interrupts:
                purge.running[job] = None

    def ended(self, job: Watched, m: dict[str, Any]) -> None:
        """A job is over; `job` is as it was before the record `m` of the ledger."""
        purge = self._purges.get(m["reason"])
        if purge is not None:
            self._judge(purge, job, m["time"])
            job.was_purged = True
            self.cancelled += 1
        is_in_order = m["state"] in ("cancelled", "expired")
        for other in self._purges.values():
            if job in other.waiting and not is_in_order:
                self._fault("safety", f"{job.id} is {m['state']}; {other.reason} means it")
        self._forget(job)

    def died(self, job: Watched) -> None:
        """A job is dead."""
        self._forget(job)

    def judge(self) -> None:
        """At the end none waits any more."""
        for purge in self._purges.values():
            for job in purge.waiting:
                self._fault("liveness", f"{job.id} is {job.state}; {purge.reason} means it")

    def _judge(self, purge: Purge, job: Watched, time: int) -> None:
        why = ""
        if not purge.means(job) or not purge.is_sent_in_time(time):
            why = "does not mean it"
        elif job in purge.dead:
            why = "came when it was dead"
        elif job.has_run and not purge.interrupts:
            why = "means none that has run"
        if why:
            self._fault("safety", f"{job.id} was cancelled: {purge.reason} {why}")

    def _forget(self, job: Watched) -> None:
        for purge in self._purges.values():
            purge.waiting.pop(job, None)
            purge.running.pop(job, None)
