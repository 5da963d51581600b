"""Throttled, debounced and unique jobs under crashes: what became of each is what it had to be.

What throttle and debounce have to do follows from the records of the queue alone; what is unique is
judged by when jobs ran. A seed that fails is the same again.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from alike import Slow, Sync, in_memory
from steps import crash, send

from streams import Debounce, Fixed, JobContext, Retry, Unique, job
from streams.testing.sandbox import Sandbox
from streams.wire.envelope import Record
from streams.wire.state import LedgerRecord

# More attempts than crashes: none of them is given up as the one that ended its worker.
RETRY = Retry(attempts=50, backoff=Fixed("700ms"))
PERIOD, QUIET, AT_MOST, FOR = 2_000, 1_000, 2_500, 1_500
SEEDS = range(15)

now: Callable[[], int]
nap: Callable[[int], asyncio.Event]
starts: dict[str, list[int]] = defaultdict(list)


async def run(payload: Sync, ctx: JobContext) -> None:
    starts[ctx.id].append(now())
    match payload.do:
        case "fail" if ctx.attempt == 1:
            raise ValueError("first")
        case "take a while":
            await nap(600).wait()


@job(name="sync", throttle="2s", retry=RETRY)
async def throttled(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


@job(name="sync", throttle="2s", retry=RETRY, ordering="none")
async def throttled_in_no_order(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


@job(name="sync", debounce=Debounce("1s", at_most="2500ms"), retry=RETRY)
async def debounced(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


@job(name="sync", unique=Unique(by="key"), retry=RETRY)
async def until_over(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


@job(name="sync", unique=Unique(by=("account",), for_="1500ms"), retry=RETRY)
async def for_a_while(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


@job(name="sync", unique=Unique(by="key", until="started"), retry=RETRY)
async def until_started(payload: Sync, ctx: JobContext) -> None:
    await run(payload, ctx)


class World:
    """A sandbox whose time passes while jobs run, and whose worker ends at any step."""

    def __init__(self, box: Sandbox, seed: int) -> None:
        global now, nap
        self.box = box
        self.chance = random.Random(seed)
        self.sent = 0
        now, nap = box.cluster.clock.now, self._nap
        starts.clear()

    def _nap(self, ms: int) -> asyncio.Event:
        over = asyncio.Event()
        self.box.cluster.clock.call_at(now() + ms, over.set)
        return over

    def send(self) -> None:
        """Some jobs of a few keys."""
        for _ in range(self.chance.choice([1, 1, 2, 5])):
            do = self.chance.choice(["", "", "fail", "take a while"])
            send(self.box.cluster, Sync(account=self.chance.randrange(3), do=do), f"r{self.sent}")
            self.sent += 1

    async def go_on(self, steps: int) -> None:
        """Let this many steps be taken at this time."""
        clock = self.box.cluster.clock
        for _ in range(steps):
            clock.set(clock.now())
            for worker in self.box.cluster.workers:
                worker.pump()
            await asyncio.sleep(0)

    async def pass_time(self, ms: int) -> None:
        """Move time forward alarm by alarm."""
        clock = self.box.cluster.clock
        end = clock.now() + ms
        while (due := clock.next_alarm()) is not None and due <= end:
            clock.set(due)
            await self.go_on(25)
        clock.set(end)
        await self.go_on(25)

    async def crash(self) -> None:
        """End the worker; nobody may be there for a while, and jobs may come meanwhile."""
        cluster = self.box.cluster
        for worker in list(cluster.workers):
            await cluster.kill(worker)
        while self.chance.random() < 0.5:
            cluster.clock.set(cluster.clock.now() + self.chance.randrange(1_500))
            self.send()
        log = Slow(cluster.log)
        await crash(self.box, loses_disk=self.chance.random() < 0.5, log=log)

    async def live(self) -> list[LedgerRecord]:
        """Some time with crashes, then until all is over; what became of each job."""
        await self.crash()
        for _ in range(30):
            match self.chance.choice(["send", "send", "pass", "pass", "crash"]):
                case "send":
                    self.send()
                    await self.go_on(self.chance.randrange(30))
                case "pass":
                    await self.pass_time(self.chance.randrange(1_200))
                case "crash":
                    await self.go_on(self.chance.randrange(40))
                    await self.crash()
        for _ in range(200):  # those that were there at two crashes run one at a time
            if len([one for one in self.box.jobs() if isinstance(one, LedgerRecord)]) == self.sent:
                break
            await self.pass_time(1_000)
        await self.go_on(100)  # the last write is more than its ledger record
        over = {one.job.id: one for one in self.box.jobs() if isinstance(one, LedgerRecord)}
        open_ = [one for one in self.box.jobs() if one.job.id not in over]
        assert not open_, open_
        assert sorted(over) == sorted(f"r{n}" for n in range(self.sent))  # each one, and once
        assert len(self.box.jobs()) == self.sent  # and nothing is open
        assert {one.state for one in over.values()} <= {"completed", "discarded"}
        assert in_memory(self.box) == 0
        return list(over.values())

    def by_key(self) -> Iterator[list[Record]]:
        """The records of each key, in the order of their arrival."""
        keys: dict[bytes | None, list[Record]] = defaultdict(list)
        for record in self.box.cluster.log.records(self.box.cluster.names.queue("default")):
            keys[record.key].append(record)
        yield from keys.values()


def id_of(record: Record) -> str:
    return dict(record.headers)["ce_id"].decode()  # type: ignore[union-attr]


def told(over: list[LedgerRecord]) -> dict[str, str]:
    return {one.job.id: one.reason for one in over if one.state == "discarded"}


@pytest.mark.parametrize("definition", [throttled, throttled_in_no_order])
@pytest.mark.parametrize("seed", SEEDS)
async def test_of_each_key_the_first_one_of_each_period_runs(seed: int, definition: object):
    async with Sandbox(definition) as box:
        world = World(box, seed)
        over = await world.live()
        expected = {}
        for records in world.by_key():
            first = records[0]
            for record in records:
                if record is first or record.timestamp >= first.timestamp + PERIOD:
                    first = record
                else:
                    expected[id_of(record)] = f"throttled: {id_of(first)} of this key came first"
        assert told(over) == expected


@pytest.mark.parametrize("seed", SEEDS)
async def test_of_each_burst_the_last_one_runs_and_not_early(seed: int):
    async with Sandbox(debounced) as box:
        world = World(box, seed)
        over = await world.live()
        expected, due_at = {}, {}
        for records in world.by_key():
            since, due, waits = 0, -1, records[0]
            for record in records:
                sent = record.timestamp
                if sent < due:
                    expected[id_of(waits)] = f"debounced: {id_of(record)} came after it"
                else:
                    since = sent
                waits, due = record, min(sent + QUIET, since + AT_MOST)
                due_at[id_of(record)] = due
        assert told(over) == expected
        assert all(each[0] >= due_at[id] for id, each in starts.items())


@pytest.mark.parametrize(("definition", "for_"), [(until_over, 0), (for_a_while, FOR)])
@pytest.mark.parametrize("seed", SEEDS)
async def test_of_those_that_are_the_same_one_waits_or_runs(
    seed: int, definition: object, for_: int
):
    async with Sandbox(definition) as box:
        world = World(box, seed)
        over = {one.job.id: one for one in await world.live()}
        for records in world.by_key():
            came = {id_of(record): record for record in records}
            accepted = [over[id] for id in came if over[id].state == "completed"]
            for one, next_one in pairwise(accepted):
                assert min(starts[next_one.job.id]) >= one.ended
                if for_:
                    assert came[next_one.job.id].timestamp >= one.ended + for_
            for id, record in came.items():
                if over[id].state == "discarded":
                    other = over[over[id].reason.split()[1]]
                    assert other.state == "completed"
                    assert came[other.job.id].offset < record.offset
                    # it was open when this one was dropped, or was over for less than it counts
                    is_open = other.ended >= over[id].ended
                    assert is_open or record.timestamp < other.ended + for_


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_dropped_because_one_waits_has_a_run_that_starts_after_it_came(seed: int):
    async with Sandbox(until_started) as box:
        world = World(box, seed)
        over = {one.job.id: one for one in await world.live()}
        for records in world.by_key():
            came = {id_of(record): record for record in records}
            for id, record in came.items():
                if over[id].state == "discarded":
                    other = over[id].reason.split()[1]
                    assert over[other].state == "completed"
                    assert max(starts[other]) >= record.timestamp
            accepted = [id for id in came if over[id].state == "completed"]
            assert all(
                min(starts[one]) <= min(starts[next_one]) for one, next_one in pairwise(accepted)
            )
