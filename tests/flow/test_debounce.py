"""Debounced jobs: of a burst for a key the last one runs, once no other has come for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from alike import Changed, PassedOn, Sync, dropped, in_memory, remembered, states
from steps import crash, kill_all, restart, send, until

from streams import Debounce, Fixed, JobContext, PermanentError, Retry, job
from streams.testing.sandbox import Sandbox
from streams.worker.ports import Append, Log

ran: list[tuple[int, int]] = []
may_go_on = asyncio.Event()


@pytest.fixture(autouse=True)
def forget() -> None:
    global may_go_on
    ran.clear()
    may_go_on = asyncio.Event()


@job(debounce="5s", retry=Retry(attempts=2, backoff=Fixed("1m")))
async def sync(payload: Sync, ctx: JobContext) -> None:
    ran.append((payload.account, payload.n))
    match payload.do:
        case "fail once" if ctx.attempt == 1:
            raise ValueError("first")
        case "give up":
            raise PermanentError("for good")
        case "wait":
            await may_go_on.wait()


@job(debounce=Debounce("5s", at_most="12s"), name="sync")
async def bounded(payload: Sync) -> None:
    ran.append((payload.account, payload.n))


@job(debounce="5s")
async def changed(event: Changed) -> None:
    ran.append((event.account, event.n))


async def test_the_last_one_runs_once_nothing_came_and_the_others_are_told_why_not():
    async with Sandbox(sync) as box:
        for n in range(3):
            for account in (1, 2):
                await box.enqueue(Sync(account=account, n=n), id=f"{account}-{n}")
            await box.advance("4s")
        assert ran == []
        await box.advance("1s")
        assert sorted(ran) == [(1, 2), (2, 2)]
        assert dropped(box) == {
            "1-0": "debounced: 1-1 came after it",
            "1-1": "debounced: 1-2 came after it",
            "2-0": "debounced: 2-1 came after it",
            "2-1": "debounced: 2-2 came after it",
        }
        # and what comes now begins another burst
        await box.enqueue(Sync(account=1, n=3), id="1-3")
        await box.advance("5s")
        assert ran[2:] == [(1, 3)]


async def test_what_comes_when_the_waiting_one_is_due_is_another_burst():
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0), id="0")
        box.cluster.clock.set(box.cluster.clock.now() + 5_000)
        send(box.cluster, Sync(account=1, n=1), "1")
        await box.advance("5s")
        assert states(box) == {"0": "completed", "1": "completed"}


@pytest.mark.parametrize("restarts", [False, True])
async def test_it_is_moved_twenty_times_and_its_at_most_holds(restarts: bool):
    async with Sandbox(sync, partitions=1) as box:
        for n in range(20):
            await box.enqueue(Sync(account=1, n=n), id=str(n))
            if restarts:
                await restart(box, loses_disk=n % 2 == 0)
            await box.advance("4s")
        assert ran == []
        await box.advance("1s")
        assert ran == [(1, 19)]
        assert len(dropped(box)) == 19
    ran.clear()
    async with Sandbox(bounded, partitions=1) as box:
        for n in range(10):
            await box.enqueue(Sync(account=1, n=n), id=str(n))
            if restarts:
                await restart(box, loses_disk=n % 2 == 0)
            await box.advance("4s")
        await box.advance("5s")
        # each burst is over 12 seconds after its first one: those at 0, 12, 24 and 36
        assert ran == [(1, 2), (1, 5), (1, 8), (1, 9)]


async def test_one_that_runs_is_not_replaced():
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, do="wait"), id="0")
        waiting = asyncio.create_task(box.advance("5s"))
        await until(lambda: bool(ran))
        waiting.cancel()
        send(box.cluster, Sync(account=1, n=1), "1")
        may_go_on.set()
        await box.cluster.settle()
        assert states(box) == {"0": "completed", "1": "scheduled"}
        await box.advance("5s")
        assert ran == [(1, 0), (1, 1)]


async def test_one_that_is_retried_is_not_replaced_and_comes_first():
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, do="fail once"), id="0")
        await box.advance("5s")
        await restart(box)
        await box.enqueue(Sync(account=1, n=1), id="1")
        await box.enqueue(Sync(account=1, n=2), id="2")
        await box.advance("10s")
        assert states(box) == {"0": "retrying", "1": "discarded", "2": "parked"}
        await box.advance("1m")
        assert ran == [(1, 0), (1, 0), (1, 2)]


async def test_a_dead_one_is_not_replaced_and_may_be_replayed():
    async with Sandbox(sync, partitions=1) as box:
        first = await box.enqueue(Sync(account=1, do="give up"), id="0")
        await box.advance("5s")
        await box.enqueue(Sync(account=1, n=1), id="1")
        assert states(box) == {"0": "dead", "1": "scheduled"}
        await box.replay(first)
        await box.advance("5s")
        assert ran == [(1, 0), (1, 0), (1, 1)]


async def test_when_the_waiting_one_is_cancelled_nobody_runs():
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0), id="0")
        last = await box.enqueue(Sync(account=1, n=1), id="1")
        await box.cancel(last)
        await box.advance("10s")
        assert ran == []
        assert states(box) == {"0": "discarded", "1": "cancelled"}
        # and what comes then is a burst of its own
        await box.enqueue(Sync(account=1, n=2), id="2")
        await box.advance("5s")
        assert ran == [(1, 2)]


async def test_a_delayed_one_never_runs_early():
    async with Sandbox(bounded, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0), id="0", delay="1m")
        await box.advance("59s")
        assert ran == []
        await box.enqueue(Sync(account=1, n=1), id="1", delay="1m")
        await box.advance("59s")
        assert ran == []
        await box.advance("1s")
        assert ran == [(1, 1)]


async def test_an_event_starts_the_last_one():
    async with Sandbox(changed) as box:
        for n in range(3):
            await box.emit(Changed(account=1, n=n))
        await box.advance("5s")
        assert ran == [(1, 2)]
        assert len(dropped(box)) == 2


async def test_a_burst_of_one_batch_leaves_the_last_one():
    async with Sandbox(sync, partitions=1) as box:
        for n in range(100):
            send(box.cluster, Sync(account=1, n=n), str(n))
        await box.advance("5s")
        assert ran == [(1, 99)]
        assert len(dropped(box)) == 99


@pytest.mark.parametrize("loses_disk", [False, True])
async def test_an_outage_in_the_middle_of_a_burst_changes_nothing(loses_disk: bool):
    async with Sandbox(sync, partitions=1) as box:
        # given one that waits, and that no worker is there while others come
        await box.enqueue(Sync(account=1, n=0), id="0")
        await kill_all(box)
        if loses_disk:
            box.cluster.lose_disks()
        for n in (1, 2, 3):
            box.cluster.clock.set(box.cluster.clock.now() + 3_000)
            send(box.cluster, Sync(account=1, n=n), str(n))
        # and that a later burst comes as well
        box.cluster.clock.set(box.cluster.clock.now() + 8_000)
        send(box.cluster, Sync(account=1, n=4), "4")
        box.cluster.clock.set(box.cluster.clock.now() + 60_000)
        # when a worker is there again, long after all of them are due
        await restart(box)
        await box.cluster.settle()
        # then the last one of each burst runs, as if it had been there
        assert ran == [(1, 3), (1, 4)]
        assert dropped(box) == {
            "0": "debounced: 1 came after it",
            "1": "debounced: 2 came after it",
            "2": "debounced: 3 came after it",
        }


class CutOff(PassedOn):
    """A log that stops answering after it has written the entry of one job."""

    def __init__(self, log: Log, id: str) -> None:
        super().__init__(log)
        self._id = id.encode()
        self.is_cut_off = False

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        if self.is_cut_off:
            await asyncio.Event().wait()
        offsets = await super().append(records)
        self.is_cut_off = any(r.value and self._id in (r.key or b"") for r in records)
        return offsets


@pytest.mark.parametrize("later_ms", [0, 60_000])
async def test_a_crash_between_the_new_entry_and_the_end_of_the_old_one(later_ms: int):
    async with Sandbox(sync, partitions=1) as box:
        await box.enqueue(Sync(account=1, n=0), id="first")
        await kill_all(box)
        # given that the entry of a newer one is written, and nothing else
        log = CutOff(box.cluster.log, "newer")
        box._worker = await box.cluster.start_worker("w1", log=log)
        await box.cluster.settle()
        send(box.cluster, Sync(account=1, n=1), "newer")
        going_on = asyncio.create_task(box.cluster.settle())
        await until(lambda: log.is_cut_off)
        going_on.cancel()
        assert states(box) == {"first": "scheduled", "newer": "scheduled"}
        # when another worker goes on, at once or long after
        await kill_all(box)
        box.cluster.clock.set(box.cluster.clock.now() + later_ms)
        await crash(box)
        await box.advance("5s")
        # then the newer one has taken the place of the other one
        assert ran == [(1, 1)]
        assert dropped(box) == {"first": "debounced: newer came after it"}


async def test_idle_keys_leave_nothing_in_memory_and_no_rows():
    async with Sandbox(sync, partitions=1) as box:
        for account in range(10_000):
            send(box.cluster, Sync(account=account), str(account))
        await box.cluster.settle()
        assert remembered(box) == 10_000
        assert in_memory(box) == 0
        await box.advance("5s")
        assert len(ran) == 10_000
        assert (remembered(box), in_memory(box)) == (0, 0)
