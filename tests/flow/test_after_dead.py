"""Dead jobs that are told to a handler, replayed after a time, and discarded when they are old."""

from __future__ import annotations

from typing import Any

import pytest
from cut_log import CutLog, cuts, run_until_cut
from steps import crash, kill_all, send

from streams import (
    AfterDead,
    Breaker,
    DeadJob,
    Fixed,
    JobContext,
    JobPayload,
    PermanentError,
    Retry,
    job,
)
from streams.errors import RegistrationError
from streams.jobs.registry import Registry
from streams.testing import Sandbox
from streams.wire.state import LedgerRecord, OpenEntry

TOLD: list[DeadJob] = []
RAN: list[tuple[int, int]] = []


class Pay(JobPayload, name="pay", key="account"):
    account: int
    n: int


class Post(JobPayload, name="post", key="account"):
    account: int
    n: int


@job(name="refund", queue="bulk")
async def refund(dead: DeadJob) -> None:
    TOLD.append(dead)


@job(after_dead=AfterDead(run=refund))
async def pay(payload: Pay) -> None:
    raise PermanentError("the account is closed")


POLICY = AfterDead(replay_after="1h", replays=2, discard_after="10h")


@job(retry=Retry(attempts=1, backoff=Fixed("1s")), after_dead=POLICY, on_dead="halt")
async def post(payload: Post, ctx: JobContext) -> int:
    RAN.append((payload.n, ctx.generation))
    if payload.n < 0 or ctx.generation < payload.n:
        raise ConnectionError("no answer")
    return payload.n


@pytest.fixture(autouse=True)
def anew() -> None:
    TOLD.clear()
    RAN.clear()


async def test_each_time_a_job_gives_up_its_handler_hears_of_it_once() -> None:
    async with Sandbox(pay, refund) as box:
        handle = await box.enqueue(Pay(account=7, n=1))
        (dead,) = TOLD
        assert (dead.name, dead.id, dead.queue, dead.key) == ("pay", handle.id, "default", "7")
        assert (dead.generation, dead.attempts, dead.is_last) == (0, 1, True)
        assert (dead.error, dead.message) == ("streams.errors.PermanentError", dead.message)
        assert dead.payload == {"account": 7, "n": 1}
        assert len(box.jobs(state="dead")) == 1
        # when it is replayed and gives up again, that is another failure
        await box.replay(handle)
        assert [each.generation for each in TOLD] == [0, 1]
        (run, again) = (x for x in box.jobs(state="completed") if x.job.name == "refund")
        assert run.job.ordering_key == again.job.ordering_key == "refund:7"


async def test_a_dead_job_is_replayed_after_its_time_and_no_more_often_than_it_may() -> None:
    async with Sandbox(post) as box:
        # given one that succeeds at its second replay, and one that never does
        good = await box.enqueue(Post(account=1, n=2))
        bad = await box.enqueue(Post(account=2, n=-1))
        behind = await box.enqueue(Post(account=1, n=0))
        await box.advance("59m")
        assert RAN == [(2, 0), (-1, 0)]
        await box.advance("1m")
        assert sorted(RAN[2:]) == [(-1, 1), (2, 1)]
        await box.advance("1h")
        assert sorted(RAN[4:]) == [(-1, 2), (0, 0), (2, 2)]
        # what was halted behind it ran after it
        assert RAN.index((2, 2)) < RAN.index((0, 0))
        assert (box.result(good), box.result(behind)) == (2, 0)
        # when there are no more replays, it waits for people, and at last it is discarded
        await box.advance("9h")
        assert len(RAN) == 7
        assert len(box.jobs(state="dead")) == 1
        await box.advance("1h")
        assert box.jobs(state="dead") == []
        (over,) = box.jobs(state="discarded")
        assert isinstance(over, LedgerRecord)
        assert (over.job.id, over.generation) == (bad.id, 2)
        assert over.reason == "nobody resolved it in 10h"
        assert box.cluster.latest(box.cluster.names.dead) == {}


async def test_what_is_due_while_no_worker_is_there_is_done_by_the_next_one() -> None:
    async with Sandbox(post) as box:
        await box.enqueue(Post(account=2, n=1))
        await kill_all(box)
        await box.advance("2h")
        assert RAN == [(1, 0)]
        await crash(box)
        await box.cluster.settle()
        assert RAN == [(1, 0), (1, 1)]
        assert len(box.jobs(state="completed")) == 1


async def test_a_dead_job_says_when_it_is_replayed() -> None:
    async with Sandbox(post) as box:
        await box.enqueue(Post(account=2, n=-1))
        (dead,) = box.jobs(state="dead")
        assert isinstance(dead, OpenEntry)
        assert dead.due == dead.failed_at + 3_600_000
        assert not dead.letter_pending


OUTAGE = True


class Call(JobPayload, name="call"):
    n: int


@job(
    retry=Retry(attempts=1),
    breaker=Breaker(0.5, of=4, pause="1m"),
    after_dead=AfterDead(when_breaker_closes=True, replays=1),
)
async def call(payload: Call, ctx: JobContext) -> int:
    RAN.append((payload.n, ctx.generation))
    if OUTAGE or payload.n < 0:
        raise ConnectionError("no answer")
    return payload.n


async def test_what_died_in_an_outage_is_replayed_when_the_breaker_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Sandbox(call) as box:
        # given jobs that died until the breaker opened, and others that it holds
        for n in (-1, 1, 2, 3):
            await box.enqueue(Call(n=n))
        held = await box.enqueue(Call(n=4))
        assert len(box.jobs(state="dead")) == 4
        # when its probe fails, nothing is replayed
        await box.advance("1m")
        assert [generation for _, generation in RAN] == [0] * 5
        # when the probe succeeds, all that died runs again, once
        monkeypatch.setattr(f"{__name__}.OUTAGE", False)
        await box.advance("2m")
        assert box.result(held) == 4
        assert sorted(RAN[-4:]) == [(-1, 1), (1, 1), (2, 1), (3, 1)]
        assert len(box.jobs(state="completed")) == 4
        await box.advance("1h")
        (dead,) = box.jobs(state="dead")
        assert (dead.job.name, dead.generation) == ("call", 1)
        assert len(box.cluster.latest(box.cluster.names.dead)) == 1


async def test_many_that_died_are_looked_for_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.worker.revivals.LOOKED_AT", 3)
    async with Sandbox(call) as box:
        handles = [await box.enqueue(Call(n=n)) for n in range(4)]
        for n in range(20):
            await box.enqueue(Call(n=n), delay="30d")
        monkeypatch.setattr(f"{__name__}.OUTAGE", False)
        await box.enqueue(Call(n=9))
        await box.advance("1m")
        assert [box.result(each) for each in handles] == [0, 1, 2, 3]


async def cut_at(
    cut: tuple[int, int] | None, handlers: tuple[Any, ...], disk: str, payload: JobPayload, ms: int
) -> tuple[Sandbox, CutLog]:
    """Send a job, let time pass and cut the log meanwhile; then let a new worker go on."""
    box = Sandbox(*handlers, partitions=1)
    log = CutLog(box.cluster.log, cut)
    worker = await box.cluster.start_worker("w1", log)
    log.armed = True
    send(box.cluster, payload, "id")
    await run_until_cut(box.cluster, log, ms)
    assert log.is_cut.is_set() == (cut is not None)
    await box.cluster.kill(worker)
    worker = await box.cluster.start_worker(disk)
    await box.cluster.advance_to(box.cluster.clock.now() + ms)
    await box.cluster.kill(worker)
    return box, log


@pytest.mark.parametrize("disk", ["w1", "w2"])
async def test_whatever_crashes_each_failure_is_told_as_one_job(disk: str) -> None:
    handlers = (pay, refund)

    async def check(cut: tuple[int, int] | None) -> CutLog:
        box, log = await cut_at(cut, handlers, disk, Pay(account=7, n=1), 60_000)
        told = [each for each in box.jobs(state="completed") if each.job.name == "refund"]
        assert len(told) == 1
        (dead,) = box.jobs(state="dead")
        assert dead.job.name == "pay"
        assert len(box.cluster.latest(box.cluster.names.dead)) == 1
        return log

    for cut in cuts((await check(None)).sizes):
        await check(cut)


@pytest.mark.parametrize("disk", ["w1", "w2"])
async def test_whatever_crashes_a_policy_replays_as_often_as_it_says_and_discards_once(
    disk: str,
) -> None:
    async def check(cut: tuple[int, int] | None) -> CutLog:
        RAN.clear()
        box, log = await cut_at(cut, (post,), disk, Post(account=7, n=-1), 24 * 3_600_000)
        (over,) = box.jobs()
        assert isinstance(over, LedgerRecord)
        assert (over.state, over.generation) == ("discarded", 2)
        assert {generation for _, generation in RAN} == {0, 1, 2}
        assert box.cluster.latest(box.cluster.names.dead) == {}
        return log

    for cut in cuts((await check(None)).sizes):
        await check(cut)


async def plain(payload: Pay) -> None: ...


def two(payload: Pay) -> Any:
    return payload


MISTAKES = [
    (AfterDead(replay_after="-1h"), "-1h is negative"),
    (AfterDead(discard_after="0s"), "no time to wait"),
    (AfterDead(replay_after="1h", replays=0), "no number from 1"),
    (AfterDead(), "does nothing"),
    (AfterDead(replay_after="1h", discard_after="1h"), "nothing is replayed"),
    (AfterDead(when_breaker_closes=True), "needs breaker="),
    (AfterDead(run=plain), "no handler of dead jobs"),
    (AfterDead(run=pay), "no handler of dead jobs"),
    (AfterDead(run=refund), "is not among the handlers that are here"),
    ("1h", "write after_dead=AfterDead"),
    (refund, r"after_dead=refund: write after_dead=AfterDead\(run=refund\)"),
    (plain, r"after_dead=plain: write after_dead=AfterDead\(run=plain\)"),
    (AfterDead, r"after_dead=AfterDead: write after_dead=AfterDead\(run=\.\.\.\)"),
]


@pytest.mark.parametrize(("policy", "why"), MISTAKES)
def test_what_makes_no_sense_is_told_at_start_up(policy: Any, why: str) -> None:
    handler = job(after_dead=policy)(two)
    with pytest.raises(RegistrationError, match=why):
        Registry.build([handler.__job_definition__], ["default"])


def test_a_handler_of_dead_jobs_has_none_of_its_own() -> None:
    async def notify(dead: DeadJob) -> None: ...

    handler = job(after_dead=AfterDead(run=refund))(notify)
    definitions = [handler.__job_definition__, refund.__job_definition__]
    with pytest.raises(RegistrationError, match="would never end"):
        Registry.build(definitions, ["default", "bulk"])
