"""Callbacks of batches: they wait in the open table until their children have reported."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from streams.jobs.batches import CHILDREN_MAX, Awaits, Tally, Verdict
from streams.jobs.lifecycle import Happening
from streams.jobs.states import State
from streams.wire.commands import Command
from streams.wire.envelope import decode
from streams.wire.state import OpenEntry, awaits
from streams.worker import open_jobs
from streams.worker.admission import could_start, entry_record
from streams.worker.owned import Owned
from streams.worker.settlement import Settlement


@dataclass(slots=True)
class _Ahead:
    """Reports for a callback that has not been read yet."""

    tally: Tally
    first: int  # offset of the first one
    queue_end: int  # where its queue ended at the last one


@dataclass(slots=True)
class _Reported:
    """What the children of one callback have reported since the last turn."""

    first: int  # offset of the first report
    queue_end: int  # where the callback's queue ended at the last one
    reports: list[tuple[int, State]] = field(default_factory=list)


class Callbacks:
    """Counts reports; a callback starts once its tally says so, and not before.

    Its entry sleeps until then, and blocks nothing. A report may come before its callback was
    read; like a cancel it is kept until reading has passed the queue's end as it was then.
    """

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self._ahead: dict[bytes, _Ahead] = {}
        self._reported: dict[bytes, _Reported] = {}

    def __bool__(self) -> bool:
        """Whether a report waits for its callback to be read."""
        return bool(self._ahead)

    def tally_of(self, state_key: bytes, waits: Awaits) -> Tally:
        """The tally of a callback that is being read, with what was reported ahead of it."""
        tally = Tally(size=waits.size, when=waits.when)
        ahead = self._ahead.pop(state_key, None)
        if ahead is None:
            return tally
        inside = (1 << waits.size) - 1
        return replace(
            tally,
            over=ahead.tally.over & inside,
            completed=ahead.tally.completed & inside,
            given_up=ahead.tally.given_up & inside,
        )

    def hold_or_open(
        self, entry: OpenEntry, settlement: Settlement, now: int, *, was_open: bool
    ) -> bool:
        """Let a callback sleep, start or end, as its tally says; False: it may start right now."""
        owned, tally = self._owned, entry.tally
        if tally is None:
            return False
        match tally.verdict():
            case Verdict.WAITS:
                asleep = replace(
                    entry,
                    state=State.SLEEPING,
                    due=None,
                    blocks=False,
                    unknown_since=None,
                    reason=tally.told(),
                )
                # Whom it blocked so far may go on.
                settlement.open(asleep, owned.lane_of_entry(entry) if entry.blocks else None)
                if entry.state is not State.SLEEPING:
                    owned.tell(settlement, Happening.SLEEPING, entry.job, now)
            case Verdict.NEVER:
                open_jobs.cancel(
                    entry,
                    "not all of its jobs can be completed any more",
                    settlement,
                    owned.place,
                    now,
                    owned.unique_for_ms(entry.job),
                    was_open=was_open,
                )
            case Verdict.RUNS if awaits(entry) or not was_open:
                due = max(now, could_start(entry.envelope or decode(entry_record(entry))))
                settlement.open(
                    replace(
                        entry,
                        state=State.SCHEDULED,
                        due=due,
                        blocks=False,
                        reason="all of its jobs are over",
                    ),
                    None,
                )
                owned.tell(settlement, Happening.SCHEDULED, entry.job, now, due=due)
            case Verdict.RUNS:
                return False
        return True

    def report(self, command: Command, offset: int, queue_end: int) -> None:
        """A child reports; see `take_reports`."""
        if command.state is not None:
            reported = self._reported.setdefault(command.job.encode(), _Reported(offset, queue_end))
            reported.reports.append((command.index, command.state))
            reported.queue_end = queue_end

    def take_reports(self, settlement: Settlement, now: int) -> None:
        """Count all that was reported since the last turn, once for each callback."""
        reported, self._reported = self._reported, {}
        for state_key, each in reported.items():
            self._take(state_key, each, settlement, now)

    def _take(
        self, state_key: bytes, reported: _Reported, settlement: Settlement, now: int
    ) -> None:
        owned = self._owned
        entry = owned.entry(state_key, settlement)
        if entry is None:
            is_read = owned.watermark.position >= reported.queue_end or state_key in owned.hand
            if not is_read:
                self._keep(state_key, reported)
            return
        if entry.tally is None or state_key in owned.hand:
            return  # it runs already
        tally = entry.tally.with_reports(reported.reports)
        if tally == entry.tally:
            return  # copies
        told = replace(entry, tally=tally)
        if awaits(entry):
            self.hold_or_open(told, settlement, now, was_open=True)
        else:  # no handler knows it, say: it is looked at when that changes
            settlement.open(told, owned.lane_of_entry(entry) if entry.blocks else None)

    def _keep(self, state_key: bytes, reported: _Reported) -> None:
        ahead = self._ahead.get(state_key)
        if ahead is None:
            ahead = self._ahead[state_key] = _Ahead(
                Tally(size=CHILDREN_MAX), reported.first, reported.queue_end
            )
        ahead.tally = ahead.tally.with_reports(reported.reports)
        ahead.queue_end = reported.queue_end

    def forget_passed(self, position: int) -> None:
        """Reading has got to `position`: what was to come before it, there is not."""
        for state_key, ahead in list(self._ahead.items()):
            if position >= ahead.queue_end:
                del self._ahead[state_key]

    @property
    def kept(self) -> list[int]:
        """The offset of the first report of each callback that was not read yet."""
        return [ahead.first for ahead in self._ahead.values()]
