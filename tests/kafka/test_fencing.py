"""A worker that was frozen past its session: what it holds is of the past, and stays unwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_handlers import Again, Hold, Later, Step
from fault_oracle import Topics, judge_order
from fleet import Fleet, happened
from group import Group
from topics import create_topics

from streams.client import JobClient

HELD = set(range(20))
AGAIN = set(range(20))
LATER = set(range(5))
ACCOUNTS = 20
STEPS = set(range(200))
NEW = set(range(200, 280))
NEWER = set(range(280, 360))


async def test_a_frozen_worker_writes_nothing_of_the_past_and_works_again(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    late = await freeze_and_thaw(kafka, prefix, tmp_path, in_flow=False)
    assert not late


@pytest.mark.long
@pytest.mark.parametrize("number", range(5))
async def test_what_a_worker_was_sending_when_it_was_frozen_is_overwritten(
    kafka: str, prefix: str, tmp_path: Path, number: int
) -> None:
    # Between the look at its lease and the system call it may be frozen: no look can help that.
    late = await freeze_and_thaw(kafka, prefix, tmp_path, in_flow=True)
    print(f"freeze {number}: {len(late)} records came late")


async def freeze_and_thaw(kafka: str, prefix: str, folder: Path, *, in_flow: bool) -> set[int]:
    """The steps that have a late record; everything else is judged here."""
    await create_topics(kafka, prefix)
    group = Group(kafka, f"{prefix}workers")
    latch, last_latch = folder / "latch", folder / "last latch"
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        with Fleet(kafka, prefix, folder) as fleet:

            async def enqueue_steps(numbers: set[int]) -> None:
                steps = [Step(account=n % ACCOUNTS, n=n) for n in sorted(numbers)]
                await client.enqueue_many(steps, id=number_of)

            # given a worker with jobs that run, jobs that wait for their retry, and more to come
            first = fleet.start("first")
            await client.enqueue_many((Hold(n=n, latch=str(latch)) for n in HELD), id=number_of)
            await client.enqueue_many((Again(n=n, after="5s") for n in AGAIN), id=number_of)
            await fleet.until_each("start", "hold", HELD)
            await fleet.until_each("fail", "again", AGAIN)
            if in_flow:
                await enqueue_steps(STEPS)
                await fleet.until(lambda found: len(happened(found, "end", "step")) >= 40)
            # when it is frozen past its session, and another one does all of it meanwhile
            first.freeze()
            frozen = len(fleet.lines)
            second = fleet.start("second")
            await fleet.until_each("start", "hold", HELD, in_=second)
            if not in_flow:
                await enqueue_steps(STEPS)
            latch.touch()
            await fleet.until_each("end", "again", AGAIN, in_=second)
            await client.enqueue_many(
                (Later(n=n, latch=str(last_latch)) for n in LATER), id=number_of, delay="1s"
            )
            over = {"hold": HELD, "again": AGAIN, "step": STEPS}
            await Topics.until_settled(kafka, prefix, over, fleet.logs)
            await fleet.until_each("start", "later", LATER, in_=second)
            before = await Topics.read(kafka, prefix)
            thawed = len(fleet.lines)
            first.thaw()
            # then it takes part in the group again, and runs new jobs
            await group.until_members(2, fleet.logs)
            await enqueue_steps(NEW)
            found = await fleet.until_each("end", "step", NEW)
            assert happened(found, "end", "step", first) & NEW, fleet.logs()
            # and once the other has left, it has that one's state: what is over, and what is not
            assert second.stop() == 0, second.log
            await enqueue_steps(STEPS)  # copies
            await enqueue_steps(NEWER)
            last_latch.touch()
            await fleet.until_each("end", "later", LATER, in_=first)
            await fleet.until_each("end", "step", NEWER, in_=first)
            assert first.stop() == 0, first.log
            found = fleet.lines
    topics = await Topics.read(kafka, prefix)
    # and it wrote nothing of what was over: no record at all names one of those jobs any more
    new = topics.since(before)
    assert new.settled("hold") == new.settled("again") == {}
    assert new.opened("hold") == new.opened("again") == {}
    assert not new.opened("step").keys() & STEPS
    assert not topics.dead
    sent = (HELD, AGAIN, STEPS, LATER, NEW, STEPS, NEWER)
    assert len(topics.queue) == sum(len(numbers) for numbers in sent)
    # but for what was on its way out at the very moment of the freeze, and that is overwritten
    late = new.settled("step").keys() & STEPS
    assert late <= happened(found[:frozen], "end", "step", first)
    for n in late:
        assert topics.settled("step")[n][-1] == before.settled("step")[n][-1], n
    # nor did it start any of them; those that ran when it was frozen may have ended in it
    after = found[thawed:]
    for name, numbers in over.items():
        assert not happened(after, "start", name) & numbers, name
    # and nothing is settled twice, lost, or out of order
    for name, numbers in (*over.items(), ("step", STEPS | NEW | NEWER), ("later", LATER)):
        settled = topics.settled(name)
        assert settled.keys() >= numbers
        assert {len(r) for n, r in settled.items() if not (name == "step" and n in late)} == {1}
    assert topics.settled("step").keys() == STEPS | NEW | NEWER
    # and the open entries of the second went on in the first
    for entries in topics.opened("later").values():
        states = [None if entry is None else entry.state.value for entry in entries]
        assert states == ["scheduled", *["sleeping"] * (len(states) - 2), None]
        assert [e.run for e in entries if e is not None] == list(range(len(states) - 1))
    judge_order(found, "step", gone=first.pids)
    return late


def number_of(payload: Step | Hold | Again | Later) -> str:
    """Ids are numbers."""
    return str(payload.n)
