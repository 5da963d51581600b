"""Dead jobs that go on in another queue, or as other jobs: each once, whoever asks and crashes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cut_log import CutLog, cuts, run_until_cut
from steps import send

from streams import JobContext, JobPayload, PermanentError, job
from streams.client import Handle
from streams.jobs.identity import JobKey
from streams.testing import Sandbox
from streams.wire.commands import Command, decode_command, encode_command
from streams.wire.state import LedgerRecord, OpenEntry
from streams.wire.times import LATEST
from streams.wire.topics import MAX_JOB_BYTES
from streams.worker.ports import Append
from streams.worker.second_chances import send_on
from streams.worker.settlement import Settlement

RAN: list[tuple[str, int]] = []
GOOD = b'{"account":7,"n":1}'


class Pay(JobPayload, name="pay", key="account"):
    account: int
    n: int


class Bill(JobPayload, name="bill", key="account"):
    account: int
    n: int


@job
async def pay(payload: Pay, ctx: JobContext) -> int:
    RAN.append(("pay", payload.n))
    if payload.n < 0:
        raise PermanentError("no")
    return payload.n


@job
async def bill(payload: Bill) -> int:
    RAN.append(("bill", payload.n))
    return payload.n


@pytest.fixture(autouse=True)
def anew() -> None:
    RAN.clear()


def job_of(name: str = "pay") -> JobKey:
    return JobKey(name=name, ordering_key=f"{name}:7", id="id")


def moving(to: str, *, generation: int = 0, **fields: Any) -> Command:
    fields = {"name": "pay", "key": "pay:7", **fields}
    return Command(kind="move", job=job_of(), generation=generation, queue=to, **fields)


async def obey(box: Sandbox, command: Command, queue: str = "default") -> None:
    write(box, command, queue)
    await box.cluster.settle()


def write(box: Sandbox, command: Command, queue: str = "default") -> None:
    key, value = encode_command(command)
    partition = box.cluster.partition_of((command.job.ordering_key or "").encode())
    box.cluster.log.write(Append(box.cluster.names.commands(queue), partition, key, value))


def states(box: Sandbox) -> list[str]:
    return sorted(f"{each.job.name} {each.state}" for each in box.jobs())


def letters(box: Sandbox) -> int:
    return len(box.cluster.latest(box.cluster.names.dead))


async def dead(box: Sandbox) -> Handle:
    return await box.enqueue(Pay(account=7, n=-1), id="id")


async def test_it_runs_there_once_for_two_operators_and_ends_here_with_the_reason() -> None:
    async with Sandbox(pay, bill) as box:
        await dead(box)
        command = moving("bulk", name="bill", key="bill:7", payload=GOOD)
        await obey(box, command)
        await obey(box, command)
        assert RAN == [("pay", -1), ("bill", 1)]
        assert states(box) == ["bill completed", "pay discarded"]
        (old,) = box.jobs(state="discarded")
        assert isinstance(old, LedgerRecord)
        assert old.reason == "sent to queue bulk as bill"
        assert letters(box) == 0


async def test_what_was_replayed_meanwhile_is_not_moved_as_well() -> None:
    async with Sandbox(pay, bill) as box:
        handle = await dead(box)
        await box.replay(handle)  # and is dead again, in its next generation
        await obey(box, moving("bulk", name="bill", key="bill:7", payload=GOOD))
        assert RAN == [("pay", -1), ("pay", -1)]
        assert states(box) == ["pay dead"]
        assert letters(box) == 1


async def test_one_that_dies_there_too_keeps_its_letter_and_can_come_back() -> None:
    async with Sandbox(pay) as box:
        await dead(box)
        await box.advance("1m")
        await obey(box, moving("bulk"))
        assert states(box) == ["pay dead", "pay discarded"]
        assert letters(box) == 1
        await box.advance("1m")
        await obey(box, moving("default", payload=GOOD), "bulk")
        assert RAN == [("pay", -1), ("pay", -1), ("pay", 1)]
        assert states(box) == ["pay completed", "pay discarded"]
        assert letters(box) == 0


async def test_one_id_in_two_queues_has_two_letters() -> None:
    async with Sandbox(pay) as box:
        for queue in ("default", "bulk"):
            await box.enqueue(Pay(account=7, n=-1), id="id", queue=queue)
        assert letters(box) == 2


async def test_a_queue_that_is_not_there_changes_nothing() -> None:
    async with Sandbox(pay) as box:
        await dead(box)
        for queue in ("nowhere", "default.retry", ""):
            await obey(box, moving(queue))
        assert states(box) == ["pay dead"]
        assert letters(box) == 1


@pytest.mark.parametrize("disk", ["w1", "w2"])
async def test_whatever_crashes_it_runs_there_and_is_over_here(disk: str) -> None:
    async def check(cut: tuple[int, int] | None) -> CutLog:
        RAN.clear()
        box = Sandbox(pay, bill, partitions=1)
        log = CutLog(box.cluster.log, cut)
        worker = await box.cluster.start_worker("w1", log)
        send(box.cluster, Pay(account=7, n=-1), "id")
        await box.cluster.settle()
        log.armed = True
        write(box, moving("bulk", name="bill", key="bill:7", payload=GOOD))
        await run_until_cut(box.cluster, log, 60_000)
        await box.cluster.kill(worker)
        worker = await box.cluster.start_worker(disk)
        await box.cluster.advance_to(box.cluster.clock.now() + 60_000)
        assert states(box) == ["bill completed", "pay discarded"]
        assert letters(box) == 0
        await box.cluster.kill(worker)
        return log

    for cut in cuts((await check(None)).sizes):
        await check(cut)


async def test_it_runs_there_though_its_id_was_cancelled_there_since() -> None:
    async with Sandbox(pay) as box:
        await dead(box)
        await box.advance("1m")
        await box.enqueue(Pay(account=7, n=1), id="id", queue="bulk", delay="1h")
        await obey(box, Command(kind="cancel", job=job_of()), "bulk")
        await box.advance("1m")
        asked = box.cluster.clock.now()
        await obey(box, moving("bulk", payload=GOOD, due=asked))
        assert RAN == [("pay", -1), ("pay", 1)]
        assert letters(box) == 0


async def test_a_clock_that_was_ahead_when_it_was_sent_does_not_lose_it() -> None:
    async with Sandbox(pay) as box:
        send(box.cluster, Pay(account=7, n=-1), "id", time=box.cluster.clock.now() + 300_000)
        await box.cluster.settle()
        for to, source, payload in (("bulk", "default", None), ("default", "bulk", GOOD)):
            await box.advance("1m")
            asked = box.cluster.clock.now()
            await obey(box, moving(to, payload=payload, due=asked), source)
        assert RAN == [("pay", -1), ("pay", -1), ("pay", 1)]


async def test_to_where_it_is_it_does_not_move() -> None:
    async with Sandbox(pay) as box:
        await dead(box)
        await obey(box, moving("default", payload=GOOD))
        assert states(box) == ["pay dead"]
        assert letters(box) == 1


async def test_what_is_too_large_to_be_sent_again_stays_dead_and_stops_nothing() -> None:
    async with Sandbox(pay) as box:
        await dead(box)
        (entry,) = box.jobs(state="dead")
        assert isinstance(entry, OpenEntry)
        large = replace(entry, payload=b" " * (MAX_JOB_BYTES - 500), headers=entry.headers[:3])
        settlement = Settlement()
        owned = box.cluster.workers[0].engine.queues["default", 0]._openings._owned
        send_on(owned, large, moving("bulk"), settlement, 0)
        assert not settlement


def test_a_time_that_no_header_can_have_is_the_nearest_one_that_can() -> None:
    for due, read in ((10**17, LATEST), (-1, 0), (5, 5)):
        assert decode_command(*encode_command(moving("bulk", due=due))).due == read
