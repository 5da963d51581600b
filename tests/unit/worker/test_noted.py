"""What handlers say is kept while the partition is ours; afterwards it harms nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest
from parts import NOW, STEP, attempt, owned_by_us, step

from streams.jobs.lifecycle import Happening
from streams.jobs.notes import LogLine, Progress
from streams.worker.attempt import Attempt
from streams.worker.noted import WRITE_MS, AttemptSays, Noted
from streams.worker.settlement import Settlement
from streams.worker.takeover import TakeOvers

LINE = LogLine(at=NOW, attempt=1, level="INFO", text="row 1")


class Partition:
    """One partition, and how its running handlers reach what notes what they say."""

    def __init__(self) -> None:
        self.owned, _ = owned_by_us(step)
        self.noted = Noted(self.owned, TakeOvers(self.owned))

    def run(self, id: str, key: str | None = None) -> tuple[Attempt, AttemptSays]:
        """A job that runs since NOW."""
        offset = self.owned.watermark.position
        self.owned.watermark.begin(offset)
        taken = attempt(STEP, id, key, offset)
        self.owned.hand.take(taken)
        taken.started = NOW
        loop = asyncio.get_running_loop()
        return taken, AttemptSays(taken, self, loop, threading.get_ident())

    def hear(self, attempt: Attempt) -> None:
        self.noted.hear(attempt, NOW)

    def keep_checkpoint(self, attempt: Attempt) -> asyncio.Future[None]:
        return self.noted.keep(attempt)

    def look(self, now: int = NOW) -> Settlement:
        settlement = Settlement(at=now)
        self.noted.keep_all(settlement, now)
        return settlement


@pytest.fixture
def partition() -> Partition:
    return Partition()


async def ends(waiting: asyncio.Task[None]) -> bool:
    """Whether it was interrupted; an error if it waits on."""
    async with asyncio.timeout(5):
        await asyncio.wait([waiting])
    return waiting.cancelled()


def test_what_is_given_up_waits_for_nothing(partition: Partition) -> None:
    assert not partition.noted and partition.noted.next_due() is None
    partition.noted.give_up()
    partition.noted.give_up()  # twice is once
    assert not partition.noted and partition.noted.next_due() is None
    assert not partition.look(NOW + 10 * WRITE_MS)


async def test_checkpoints_that_wait_when_the_partition_is_given_up_are_let_go(
    partition: Partition,
) -> None:
    # given one that waits for the next turn, and one whose turn is being written
    _, written = partition.run("1")
    writing = asyncio.create_task(written.checkpoint("1"))
    await asyncio.sleep(0)
    settlement = partition.look()
    assert len(settlement.awaited) == 1
    _, early = partition.run("2")
    waiting = asyncio.create_task(early.checkpoint("2"))
    await asyncio.sleep(0)
    assert partition.noted
    # when the partition is given up
    partition.noted.give_up()
    # then neither hangs, and nothing is left to write
    assert await ends(waiting) and await ends(writing)
    assert not partition.noted
    assert not partition.look(NOW + 10 * WRITE_MS)
    # and a write that ends all the same finds nobody who waits
    assert all(kept.done() for kept in settlement.awaited)


async def test_one_that_waits_for_those_before_it_in_its_key_is_let_go_too(
    partition: Partition,
) -> None:
    taken, says = partition.run("1", "step:1")
    waiting = asyncio.create_task(says.checkpoint("1"))
    await asyncio.sleep(0)
    settlement = Settlement(at=NOW)
    assert taken.lane is not None
    settlement.passed.add(taken.lane)
    partition.noted.keep_all(settlement, NOW)
    assert not settlement.opens and partition.noted  # it waits for the next turn
    partition.noted.give_up()
    assert await ends(waiting)


async def test_a_checkpoint_after_that_is_interrupted_at_once(partition: Partition) -> None:
    taken, says = partition.run("1")
    partition.noted.give_up()
    waiting = asyncio.create_task(says.checkpoint("1"))
    assert await ends(waiting)
    assert not partition.noted
    assert not partition.look(NOW + 10 * WRITE_MS)
    # what the handler itself sees is what it said; nobody else does
    assert says.checkpointed == "1"
    assert taken.entry is None


async def test_what_is_said_after_that_is_neither_told_nor_written(partition: Partition) -> None:
    _, says = partition.run("1")
    says.progress(Progress(processed=1))
    assert partition.noted.next_due() is not None
    partition.noted.give_up()
    assert partition.noted.next_due() is None
    for processed in range(2, 100):
        says.progress(Progress(processed=processed))
        says.line(LINE)
    says.hold("2")
    assert partition.noted.next_due() is None
    assert not partition.look(NOW + 10 * WRITE_MS)


async def test_a_thread_may_say_things_after_that(partition: Partition) -> None:
    _, says = partition.run("1")

    def handler() -> None:
        says.progress(Progress(processed=1))
        says.line(LINE)
        says.hold("1")

    partition.noted.give_up()
    await asyncio.to_thread(handler)
    await asyncio.sleep(0)  # what the thread left for the loop comes now
    assert partition.noted.next_due() is None
    assert not partition.look(NOW + 10 * WRITE_MS)


async def test_an_attempt_that_ends_after_that_is_forgotten(partition: Partition) -> None:
    taken, says = partition.run("1")
    says.line(LINE)
    partition.noted.give_up()
    partition.noted.forget(taken)
    assert not partition.noted


async def test_a_handler_that_gave_up_waiting_first_leaves_nothing_to_let_go(
    partition: Partition,
) -> None:
    taken, says = partition.run("1")
    waiting = asyncio.create_task(says.checkpoint("1"))
    await asyncio.sleep(0)
    waiting.cancel()  # past its timeout, say
    assert await ends(waiting)
    settlement = partition.look()
    assert not settlement.awaited and taken.entry is None
    partition.noted.give_up()


async def test_until_then_a_checkpoint_is_written_in_the_next_turn_and_told(
    partition: Partition,
) -> None:
    taken, says = partition.run("1")
    waiting = asyncio.create_task(says.checkpoint("1"))
    await asyncio.sleep(0)
    settlement = partition.look()
    (entry,) = settlement.opens.values()
    assert entry.notes is not None and entry.notes.checkpoint == "1"
    assert [event.happening for event in settlement.events] == [Happening.CHECKPOINTED]
    assert not waiting.done()  # not before it is durable
    for kept in settlement.awaited:
        kept.set_result(None)
    await waiting
    # and giving up afterwards takes nothing back
    partition.noted.give_up()
    assert taken.entry is entry
