"""Jobs like one that arrives are found as they will be once the turn is settled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from parts import (
    NOW,
    PLACE,
    definition_of,
    envelope_of,
    openings_of,
    owned_by_us,
    record_of,
    write,
)

from streams import JobPayload, job
from streams.jobs.batches import Awaits
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Completed
from streams.jobs.states import State
from streams.wire.envelope import Record
from streams.worker import open_jobs, settle
from streams.worker.admission import attempt_of, new_entry
from streams.worker.attempt import Attempt
from streams.worker.owned import Owned
from streams.worker.settlement import Settlement
from streams.worker.singling import Singling


class Step(JobPayload, name="step", key="account"):
    account: int


@job(throttle="1m", name="step")
async def throttled(payload: Step) -> None: ...


@job(debounce="1s", name="step")
async def debounced(payload: Step) -> None: ...


class Partition:
    """One partition, and arrivals of one key in it."""

    def __init__(self, handler: object) -> None:
        self.owned: Owned = owned_by_us(handler)[0]
        self.definition: JobDefinition = definition_of(handler)
        self.singling = Singling(self.owned)

    def arrive(self, offset: int) -> Attempt:
        """What arrives at this offset, a millisecond for each after NOW."""
        envelope = envelope_of("step", f"r{offset}", "step:1", NOW + offset)
        record: Record = record_of(envelope, offset)
        single = self.singling.of(self.definition, record, envelope)
        key = JobKey(name="step", ordering_key="step:1", id=envelope.id)
        return attempt_of(key, record, envelope, self.definition, lane=None, single=single)

    def first_like(self, attempt: Attempt, settlement: Settlement) -> str | None:
        """The id of the job because of which it is not to run."""
        assert attempt.single is not None
        mark = self.singling.first_like(attempt.single, attempt.record, settlement)
        return None if mark is None else JobKey.decode(mark.state_key).id


@pytest.mark.parametrize("is_written", [False, True])
def test_one_that_ended_without_having_run_counts_no_more_in_the_same_turn(
    is_written: bool,
) -> None:
    # given one that waits in the open table, or is put there in this turn
    partition, turn = Partition(throttled), Settlement()
    first = partition.arrive(1)
    entry = new_entry(
        first.job, first.record, first.envelope, State.PARKED, arrival=1, single=first.single
    )
    turn.open(entry, None)
    assert partition.first_like(partition.arrive(2), turn) == "r1"
    if is_written:
        write(partition.owned, turn)
        turn = Settlement()
        assert partition.first_like(partition.arrive(2), turn) == "r1"
    # when it is cancelled
    open_jobs.cancel(entry, "cancelled", turn, PLACE, NOW, 0)
    # then nobody gives way to it any more
    assert partition.first_like(partition.arrive(2), turn) is None
    write(partition.owned, turn)
    assert partition.first_like(partition.arrive(2), Settlement()) is None


def test_one_that_ended_in_this_turn_counts_by_its_record() -> None:
    partition, turn = Partition(throttled), Settlement()
    first = partition.arrive(1)
    partition.owned.hand.take(first)
    assert partition.first_like(partition.arrive(2), turn) == "r1"
    first.started = NOW
    settle.conclude(first, Completed(None), turn, PLACE, NOW)
    partition.owned.hand.put_down(first, is_blocked=False)
    assert partition.first_like(partition.arrive(2), turn) == "r1"
    assert partition.first_like(partition.arrive(2), Settlement()) is None


def test_a_debounced_one_that_is_in_hand_is_on_its_way_whatever_its_entry_says() -> None:
    partition, turn = Partition(debounced), Settlement()
    partition.singling.wait(partition.arrive(1), turn, NOW)
    (entry,) = turn.opens.values()
    write(partition.owned, turn)
    opened = attempt_of(
        entry.job,
        partition.arrive(1).record,
        partition.arrive(1).envelope,
        partition.definition,
        lane=None,
        entry=entry,
    )
    partition.owned.hand.take(opened)
    turn = Settlement()
    partition.singling.wait(partition.arrive(2), turn, NOW)
    assert not turn.ledgers
    assert [e.job.id for e in turn.opens.values()] == ["r2"]


def test_a_debounced_one_starts_once_the_queue_has_been_read_as_far_as_its_time() -> None:
    # given one that is due
    partition, turn = Partition(debounced), Settlement()
    owned = partition.owned
    openings = openings_of(owned)
    partition.singling.wait(partition.arrive(1), turn, NOW)
    write(partition.owned, turn)
    for entry in turn.opens.values():
        openings.note(entry)
    due = NOW + 1_001
    # when nobody knows where the queue ended then
    turn = Settlement(at=due)
    openings.release(turn, due)
    # then that is asked
    assert turn.asks_end
    assert not owned.hand
    # when there is more to read still
    owned.watermark.skip_to(2)
    owned.queue_end.note(due, 4)
    assert not openings.has_work
    turn = Settlement(at=due)
    openings.note(entry)  # it is looked at, whatever the reason
    openings.release(turn, due)
    assert not owned.hand
    assert not turn.asks_end
    # and when that was read, it starts
    owned.watermark.skip_to(4)
    assert openings.has_work
    openings.release(Settlement(at=due), due)
    assert len(owned.hand) == 1
    assert not openings.has_work


def test_a_job_without_a_key_and_a_callback_are_like_no_other() -> None:
    partition = Partition(throttled)
    envelope = envelope_of("step", "r1", None)
    assert partition.singling.of(partition.definition, record_of(envelope), envelope) is None
    envelope = envelope_of("step", "r1", "step:1")
    assert partition.singling.of(None, record_of(envelope), envelope) is None
    assert partition.singling.of(partition.definition, record_of(envelope), envelope) is not None
    callback = replace(envelope, awaits=Awaits(size=2))
    assert partition.singling.of(partition.definition, record_of(envelope), callback) is None
