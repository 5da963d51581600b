"""What children report is counted once, and not noted as read before a callback has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from parts import NOW, definition_of, envelope_of, owned_by_us, record_of, write

from streams import JobPayload, job
from streams.jobs.batches import Awaits, BatchCounts, Tally
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.commands import Command
from streams.wire.state import OpenEntry
from streams.worker.admission import attempt_of, new_entry
from streams.worker.callbacks import Callbacks
from streams.worker.commands import Commands
from streams.worker.outcomes import Outcomes
from streams.worker.settlement import Settlement


class Gather(JobPayload, name="gather"):
    n: int


@job
async def gather(payload: Gather) -> None: ...


def callback(id: str) -> JobKey:
    return JobKey(name="gather", ordering_key=None, id=id)


A, B = callback("a"), callback("b")
NOBODY = callback("nobody")  # of whom no record ever comes


class Partition:
    """One partition of which commands and callbacks are taken in turns."""

    def __init__(self) -> None:
        self.owned, _ = owned_by_us(gather)
        self.callbacks = Callbacks(self.owned)
        self.commands = Commands(self.owned, Outcomes(self.owned), self.callbacks)

    def report(
        self, job: JobKey, offset: int, *, index: int = 0, end: int = 10, state: State | None = None
    ) -> None:
        """A child's report is read at `offset` of the commands, when the queue ended at `end`."""
        told = Command(kind="report", job=job, index=index, state=state or State.COMPLETED)
        self.commands.arrive(told, offset, end)

    def turn(self) -> Settlement:
        """What the commands of one turn decide, once it is written."""
        settlement = Settlement(at=NOW)
        self.commands.obey_all(settlement, NOW)
        write(self.owned, settlement)
        return settlement

    def read_callback(self, job: JobKey, offset: int, size: int) -> OpenEntry | None:
        """The callback is read from the queue; its entry, if it does not start at once."""
        self.owned.watermark.begin(offset)
        envelope = replace(envelope_of(job.name, job.id), awaits=Awaits(size=size))
        entry = replace(
            new_entry(job, record_of(envelope, offset), envelope, State.SLEEPING, arrival=offset),
            tally=self.callbacks.tally_of(job.encode(), Awaits(size=size)),
        )
        settlement = Settlement(at=NOW)
        self.callbacks.hold_or_open(entry, settlement, NOW, was_open=False)
        write(self.owned, settlement)
        return self.entry(job)

    def entry(self, job: JobKey) -> OpenEntry | None:
        return self.owned.tables.open(job.encode())

    @property
    def noted(self) -> int:
        """How far the commands are noted as read: a crash repeats those from there on."""
        return self.owned.tables.applied(self.owned.place.commands)


@pytest.fixture
def partition() -> Partition:
    return Partition()


def counts(entry: OpenEntry | None) -> BatchCounts:
    assert entry is not None and entry.tally is not None
    return entry.tally.counts()


# -- what is kept ----------------------------------------------------------------------------------


def test_from_the_first_report_of_a_callback_that_was_not_read_nothing_is_noted_as_read(
    partition: Partition,
) -> None:
    # given reports of two callbacks, neither of which was read
    partition.report(A, 5, index=0)
    partition.turn()
    assert (partition.callbacks.kept, partition.noted) == ([5], 5)
    # when more come, for the same and for another one
    partition.report(B, 6)
    partition.report(A, 7, index=1)
    partition.turn()
    # then the first one of each counts, and the earliest bounds what is noted
    assert partition.callbacks.kept == [5, 6]
    assert partition.callbacks and partition.commands.are_pending
    assert partition.noted == 5
    # when the first callback is read it has both of its reports, and bounds nothing any more
    assert counts(partition.read_callback(A, 0, size=3)) == BatchCounts(
        size=3, completed=2, failed=0
    )
    assert partition.callbacks.kept == [6]
    partition.turn()
    assert partition.noted == 6
    # and when the second one is read, nothing is kept
    assert counts(partition.read_callback(B, 1, size=3)).completed == 1
    assert (partition.callbacks.kept, bool(partition.callbacks)) == ([], False)
    partition.turn()
    assert partition.noted == 8
    assert not partition.commands.are_pending


def test_a_crash_before_the_callback_is_written_repeats_its_reports_and_counts_them_once(
    partition: Partition,
) -> None:
    for offset in (3, 4, 5):
        partition.report(A, offset, index=offset)
    partition.turn()
    # what is kept is in memory alone: a crash takes it
    again = Partition()
    for offset in range(partition.noted, 6):
        again.report(A, offset, index=offset)
    again.turn()
    assert counts(again.read_callback(A, 0, size=8)).completed == 3
    # and what comes once more after it was written changes nothing
    for offset in (3, 4, 5):
        again.callbacks.report(
            Command(kind="report", job=A, index=offset, state=State.COMPLETED), offset, 10
        )
    settlement = again.turn()
    assert not settlement.opens
    assert counts(again.entry(A)).completed == 3


def test_a_report_of_a_callback_in_the_open_table_is_counted_there_and_not_kept(
    partition: Partition,
) -> None:
    partition.read_callback(A, 0, size=3)
    partition.report(A, 1, index=2)
    settlement = partition.turn()
    assert counts(settlement.opens[A.encode()]).completed == 1
    assert partition.callbacks.kept == []
    # it is noted as read in the turn that counts it: what is written says both
    assert settlement.commands_read == 2


def test_a_report_of_a_callback_that_runs_or_is_over_is_nothing(partition: Partition) -> None:
    definition = definition_of(gather)
    envelope = envelope_of("gather", "a")
    partition.read_callback(A, 0, size=1)
    running = attempt_of(
        A, record_of(envelope), envelope, definition, lane=None, entry=partition.entry(A)
    )
    partition.owned.hand.take(running)
    partition.report(A, 1, end=10)  # it runs
    partition.report(B, 2, end=1)  # it was read, and is over
    settlement = partition.turn()
    assert not settlement.opens
    assert (partition.callbacks.kept, settlement.commands_read) == ([], 3)


def test_what_was_reported_of_children_that_a_callback_does_not_have_is_nothing(
    partition: Partition,
) -> None:
    for index in (0, 1, 2, 5_000):
        partition.report(A, index + 1, index=index)
    partition.report(A, 6_000, index=1, state=State.DEAD)
    partition.turn()
    assert partition.callbacks.tally_of(A.encode(), Awaits(size=2, when="completed")) == Tally(
        size=2, when="completed", over=0b11, completed=0b01
    )
    # a second one of this name begins anew
    assert partition.callbacks.tally_of(A.encode(), Awaits(size=2)) == Tally(size=2)


# -- what is forgotten -----------------------------------------------------------------------------


def test_a_report_is_forgotten_once_reading_has_passed_the_end_of_the_queue_at_that_time(
    partition: Partition,
) -> None:
    partition.report(NOBODY, 5, end=10)
    partition.report(A, 6, end=12)
    partition.turn()
    # up to the last record before that end the callback may come
    partition.owned.watermark.skip_to(9)
    partition.turn()
    assert (partition.callbacks.kept, partition.noted) == ([5, 6], 5)
    # behind it there is none; the other one is waited for still
    partition.owned.watermark.skip_to(10)
    partition.turn()
    assert (partition.callbacks.kept, partition.noted) == ([6], 6)
    partition.owned.watermark.skip_to(12)
    partition.turn()
    assert (partition.callbacks.kept, partition.noted) == ([], 7)
    assert not partition.commands.are_pending
    # and what is read after all (it was enqueued later with this id) waits for all of its children
    assert counts(partition.read_callback(NOBODY, 12, size=2)).completed == 0


def test_a_later_report_waits_for_reading_to_pass_a_later_end(partition: Partition) -> None:
    partition.report(A, 5, index=0, end=10)
    partition.turn()
    partition.report(A, 6, index=1, end=20)
    partition.turn()
    partition.callbacks.forget_passed(19)
    assert partition.callbacks.kept == [5]
    partition.callbacks.forget_passed(20)
    assert partition.callbacks.kept == []
    # one that comes after that is a first one again
    partition.report(A, 7, index=2, end=30)
    partition.turn()
    assert partition.callbacks.kept == [7]


def test_reports_of_one_turn_count_with_the_end_at_the_last_of_them(partition: Partition) -> None:
    partition.report(A, 5, index=0, end=10)
    partition.report(A, 6, index=1, end=20)
    partition.owned.watermark.skip_to(15)
    partition.turn()
    assert partition.callbacks.kept == [5]
    assert counts(partition.read_callback(A, 15, size=3)).completed == 2
