"""Workers that come and go under load: nothing lost, nothing settled twice, each key in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_handlers import Step
from fault_oracle import Topics, judge_order, judge_settled
from fleet import Fleet, happened
from group import Group
from topics import create_topics

from streams.client import JobClient

PARTITIONS = 4
KEYS = 50
EVERY_S = 0.5  # as many jobs as there are keys
AHEAD = 10 * KEYS  # at most so many wait or run


@dataclass
class Load:
    """Jobs that flow until told to end: `sent` counts them."""

    client: JobClient
    fleet: Fleet
    sent: int = 0
    ends: bool = False

    async def flow(self) -> None:
        """Enqueue at a steady pace, as long as workers keep up."""
        while not self.ends:
            if self.sent - len(happened(self.fleet.lines, "end", "step")) < AHEAD:
                numbers = range(self.sent, self.sent + KEYS)
                await self.client.enqueue_many(
                    (Step(account=n % KEYS, n=n) for n in numbers), id=lambda step: str(step.n)
                )
                self.sent += KEYS
            await asyncio.sleep(EVERY_S)


@asynccontextmanager
async def load(kafka: str, prefix: str, fleet: Fleet) -> AsyncIterator[Load]:
    """Jobs flow inside, and on leaving all of them are enqueued."""
    async with JobClient(kafka, source="test", prefix=prefix, delivery_timeout="60s") as client:
        flowing = Load(client, fleet)
        task = asyncio.create_task(flowing.flow())
        try:
            yield flowing
        finally:
            flowing.ends = True
            await task


async def judge(kafka: str, prefix: str, fleet: Fleet, jobs: int, killed: list[int]) -> None:
    """Wait until all of them are over, stop the workers, and judge."""
    every = set(range(jobs))
    await fleet.until_each("end", "step", every)
    await Topics.until_settled(kafka, prefix, {"step": every}, fleet.logs, partitions=PARTITIONS)
    for worker in fleet.running:
        assert worker.stop() == 0, worker.log
    found = fleet.lines
    tally = judge_order(found, "step", gone=killed)
    topics = await Topics.read(kafka, prefix, partitions=PARTITIONS)
    judge_settled(topics, found, "step", every, tally)
    assert not topics.dead
    assert len(topics.queue) == jobs
    print(f"\n{tally}")


@pytest.mark.parametrize(
    "rebalances", [pytest.param(20), pytest.param(200, marks=pytest.mark.long)]
)
async def test_rebalances_under_load_lose_nothing_and_keep_order(
    kafka: str, prefix: str, tmp_path: Path, rebalances: int
) -> None:
    await create_topics(kafka, prefix, PARTITIONS)
    group = Group(kafka, f"{prefix}workers")
    killed: list[int] = []
    settings = {"STREAMS_PARTITIONS": str(PARTITIONS), "STREAMS_GRACE": "5s"}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with load(kafka, prefix, fleet) as flowing:
            for name in ("a", "b", "c", "d"):
                fleet.start(name)
            await group.until_members(4, fleet.logs)
            goings = 0
            while len(await group.generations()) < rebalances:
                # One is killed, one leaves in good order, two come: two to four at any time.
                dying, leaving = fleet.running[goings % 4], fleet.running[(goings + 1) % 4]
                killed.append(dying.pid)
                dying.kill()
                await group.until_members(3, fleet.logs)
                leaving.terminate()
                assert await leaving.ended() == 0, leaving.log
                await group.until_members(2, fleet.logs)
                dying.start()
                leaving.start()
                await group.until_members(4, fleet.logs)
                goings += 1
        generations = await group.generations()
        await judge(kafka, prefix, fleet, flowing.sent, killed)
    print(f"{len(generations)} rebalances, {goings} left and {len(killed)} were killed")


@pytest.mark.parametrize("kills", [pytest.param(5), pytest.param(100, marks=pytest.mark.long)])
async def test_kills_at_random_moments_lose_nothing_and_keep_order(
    kafka: str, prefix: str, tmp_path: Path, kills: int
) -> None:
    await create_topics(kafka, prefix, PARTITIONS)
    chance = random.Random(kills)
    killed: list[int] = []
    with Fleet(kafka, prefix, tmp_path, STREAMS_PARTITIONS=str(PARTITIONS)) as fleet:
        async with load(kafka, prefix, fleet) as flowing:
            # Static members: one that is started again takes the place of the dead one at once.
            for name in ("a", "b"):
                fleet.start(name, STREAMS_INSTANCE=name)
            for _ in range(kills):
                worker = fleet.workers[chance.choice("ab")]
                # It works: so many lines by this process, then it is killed.
                lines = chance.randrange(10, 300)
                await fleet.until(
                    lambda found, pid=str(worker.pid), lines=lines: (
                        sum(line[-1] == pid for line in found) >= lines
                    )
                )
                killed.append(worker.pid)
                worker.kill()
                worker.start()
        await judge(kafka, prefix, fleet, flowing.sent, killed)
    print(f"{len(killed)} were killed")
