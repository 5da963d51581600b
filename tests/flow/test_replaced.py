"""A job that comes in the place of a dead one with its id: it runs, and the dead one is over."""

from __future__ import annotations

from typing import Any

import pytest
from cut_log import CutLog, cuts, run_until_cut
from steps import ask, pipeline, put, restart

from streams import JobPayload, PermanentError, Unique, job
from streams.audit.fault import Fault
from streams.audit.rules import Rules
from streams.client import JobOptions
from streams.errors import PayloadInvalid
from streams.testing import Sandbox
from streams.testing.audited import audit_memory
from streams.wire.envelope import Envelope, JobOverrides
from streams.wire.state import LedgerRecord

RAN: list[int] = []


class Pay(JobPayload, name="pay", key="account"):
    account: int
    n: int


class Once(JobPayload, name="once", key="account"):
    account: int
    n: int


class Slow(JobPayload, name="slow", key="account"):
    account: int
    n: int


class Halt(JobPayload, name="halt", key="account"):
    account: int
    n: int


def run(n: int) -> int:
    RAN.append(n)
    if n < 0:
        raise PermanentError("no")
    return n


@job
async def pay(payload: Pay) -> int:
    return run(payload.n)


@job(unique=Unique(by="key"))
async def once(payload: Once) -> int:
    return run(payload.n)


@job(throttle="1h")
async def slow(payload: Slow) -> int:
    return run(payload.n)


@job(on_dead="halt")
async def halt(payload: Halt) -> int:
    return run(payload.n)


@pytest.fixture(autouse=True)
def anew() -> None:
    RAN.clear()


def states(box: Sandbox) -> list[str]:
    return sorted(f"{each.job.id} {each.state}" for each in box.jobs())


def letters(box: Sandbox) -> int:
    return len(box.cluster.latest(box.cluster.names.dead))


async def test_it_runs_and_the_dead_one_is_over_with_its_letter() -> None:
    async with Sandbox(pay) as box:
        dead = await box.enqueue(Pay(account=7, n=-1), id="id")
        assert (states(box), letters(box)) == (["id dead"], 1)
        await box.advance("1s")
        handle = await box.enqueue(Pay(account=7, n=1), id="id", on_dead_id="replace")
        assert await handle.result() == 1
        assert RAN == [-1, 1]
        assert (states(box), letters(box)) == (["id completed"], 0)
        assert await dead.result() == 1  # the same id is the same job


async def test_its_handle_waits_for_it_and_does_not_answer_with_the_dead_one() -> None:
    async with Sandbox(pay) as box:
        await box.enqueue(Pay(account=7, n=-1), id="id")
        await box.advance("1s")
        handle = await box.enqueue(Pay(account=7, n=2), id="id", on_dead_id="replace", delay="1h")
        assert (await handle.status()).state == "scheduled"
        assert await handle.result("2h") == 2


async def test_without_that_option_it_is_dropped_as_ever() -> None:
    async with Sandbox(pay) as box:
        await box.enqueue(Pay(account=7, n=-1), id="id")
        await box.advance("1s")
        await box.enqueue(Pay(account=7, n=1), id="id")
        assert RAN == [-1]
        assert (states(box), letters(box)) == (["id dead"], 1)


async def test_one_that_is_open_or_has_completed_is_not_replaced() -> None:
    async with Sandbox(pay) as box:
        await box.enqueue(Pay(account=7, n=1), id="over")
        await box.enqueue(Pay(account=8, n=1), id="open", delay="1h")
        await box.advance("1s")
        for id, account in (("over", 7), ("open", 8)):
            await box.enqueue(Pay(account=account, n=2), id=id, on_dead_id="replace")
        assert RAN == [1]
        assert states(box) == ["open scheduled", "over completed"]


async def test_what_somebody_discarded_is_over_and_not_replaced() -> None:
    async with Sandbox(pay) as box:
        handle = await box.enqueue(Pay(account=7, n=-1), id="id")
        ask(box.cluster, "discard", handle, reason="never again")
        await box.cluster.settle()
        await box.advance("1s")
        await box.enqueue(Pay(account=7, n=1), id="id", on_dead_id="replace")
        assert RAN == [-1]
        (record,) = box.jobs()
        assert isinstance(record, LedgerRecord)
        assert record.reason == "never again"


async def test_a_copy_of_one_that_died_itself_replaces_nothing() -> None:
    async with Sandbox(pay) as box:
        await box.enqueue(Pay(account=7, n=-1), id="id")
        await box.advance("1s")
        copy = replacing(box, -2)
        put(box.cluster, copy)
        await box.cluster.settle()
        put(box.cluster, copy)
        await box.cluster.settle()
        await restart(box, loses_disk=True)
        assert RAN == [-1, -2]
        assert [entry.job.id for entry in box.jobs(state="dead")] == ["id"]
        assert letters(box) == 1
        await box.advance("1s")
        await box.enqueue(Pay(account=7, n=3), id="id", on_dead_id="replace")
        assert RAN == [-1, -2, 3]


async def test_one_that_dies_while_the_other_has_arrived_is_kept_as_the_other_was_dropped() -> None:
    async with Sandbox(pay, partitions=1) as box:
        put(box.cluster, replacing(box, -1))
        box.cluster.clock.set(box.cluster.clock.now() + 1)
        put(box.cluster, replacing(box, 1))
        await box.cluster.settle()
        assert RAN in ([-1], [-1, 1])
        assert states(box) == ["id dead" if RAN == [-1] else "id completed"]


async def test_it_is_the_last_of_a_key_that_the_dead_one_halts() -> None:
    async with Sandbox(halt) as box:
        await box.enqueue(Halt(account=7, n=-1), id="id")
        for n in (1, 2):
            await box.enqueue(Halt(account=7, n=n), id=f"id-{n}")
        assert RAN == [-1]
        await box.advance("1s")
        await box.enqueue(Halt(account=7, n=3), id="id", on_dead_id="replace")
        assert RAN == [-1, 1, 2, 3]


async def test_where_one_is_to_run_of_those_alike_it_does() -> None:
    async with Sandbox(once) as box:
        await box.enqueue(Once(account=7, n=-1), id="id")
        await box.advance("1s")
        await box.enqueue(Once(account=7, n=1), id="id", on_dead_id="replace")
        assert RAN == [-1, 1]
        assert (states(box), letters(box)) == (["id completed"], 0)


async def test_what_it_replaces_does_not_throttle_it() -> None:
    async with Sandbox(slow) as box:
        await box.enqueue(Slow(account=7, n=-1), id="id")
        await box.advance("1s")
        await box.enqueue(Slow(account=7, n=1), id="id", on_dead_id="replace")
        assert RAN == [-1, 1]
        assert (states(box), letters(box)) == (["id completed"], 0)


async def test_one_alike_throttles_it_and_that_is_on_record() -> None:
    async with Sandbox(slow) as box:
        await box.enqueue(Slow(account=7, n=-1), id="id")
        await box.advance("2h")
        await box.enqueue(Slow(account=7, n=1), id="other")
        await box.advance("1s")
        await box.enqueue(Slow(account=7, n=2), id="id", on_dead_id="replace")
        assert RAN == [-1, 1]
        by_id = {each.job.id: each for each in box.jobs()}
        assert by_id["id"].state == "discarded"
        assert by_id["id"].reason == "throttled: other of this key came first"


@pytest.mark.parametrize("disk", ["w1", "w2"])
async def test_whatever_crashes_it_runs_and_the_letter_is_gone(disk: str) -> None:
    async def check(cut: tuple[int, int] | None) -> CutLog:
        RAN.clear()
        box = Sandbox(pay, partitions=1)
        log = CutLog(box.cluster.log, cut)
        worker = await box.cluster.start_worker("w1", log)
        put(box.cluster, job_of(box, -1))
        await box.cluster.settle()
        await box.cluster.advance_to(box.cluster.clock.now() + 1_000)
        assert (states(box), letters(box)) == (["id dead"], 1)
        log.armed = True
        put(box.cluster, replacing(box, 1))
        await run_until_cut(box.cluster, log, 60_000)
        await box.cluster.kill(worker)
        worker = await box.cluster.start_worker(disk)
        await box.cluster.advance_to(box.cluster.clock.now() + 60_000)
        assert (states(box), letters(box)) == (["id completed"], 0), cut
        assert pipeline(box)._openings._owned.tables.unaccounted == 0, cut
        assert audited(box) == [], cut
        assert set(RAN) == {-1, 1}
        await box.cluster.kill(worker)
        return log

    sizes = (await check(None)).sizes
    assert len(sizes) > 3
    for cut in cuts(sizes):
        await check(cut)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"on_dead_id": "replace"}, 'on_dead_id="replace" needs id='),
        ({"on_dead_id": "drop", "id": "id"}, "on_dead_id='drop': write \"replace\""),
    ],
)
async def test_what_makes_no_sense_is_told(options: dict[str, Any], why: str) -> None:
    async with Sandbox(pay) as box:
        with pytest.raises(PayloadInvalid, match=why):
            await box.enqueue(Pay(account=7, n=1), **options)


async def test_a_job_without_a_contract_can_say_so_too() -> None:
    async with Sandbox(pay) as box:
        await box.enqueue(Pay(account=7, n=-1), id="id")
        await box.advance("1s")
        options = JobOptions(on_dead_id="replace")
        await box.enqueue_raw(
            "pay", "default", {"account": 7, "n": 1}, key="7", id="id", options=options
        )
        assert RAN == [-1, 1]


def audited(box: Sandbox) -> list[Fault]:
    cluster = box.cluster
    rules = Rules(now=cluster.clock.now())
    return audit_memory(cluster.log, cluster.names, ["default"], rules=rules).faults


def job_of(box: Sandbox, n: int, options: JobOverrides | None = None) -> Envelope:
    return Envelope(
        id="id",
        name="pay",
        source="test",
        time=box.cluster.clock.now(),
        queue="default",
        key="pay:7",
        payload=Pay(account=7, n=n).model_dump_json().encode(),
        options=options,
    )


def replacing(box: Sandbox, n: int) -> Envelope:
    return job_of(box, n, JobOverrides(replaces_dead=True))
