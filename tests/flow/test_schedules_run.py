"""Jobs that the clock enqueues: each tick once, whoever crashes; missed ones by their policy."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from steps import cluster_of, crash, for_a_while, kill_all, pass_time

from streams import Cron, Every, JobContext, Tick, job
from streams.cron.schedule import Overlap
from streams.cron.ticks import next_tick
from streams.errors import PermanentError, RetryAfter
from streams.testing.sandbox import Sandbox
from streams.wire.schedules import (
    Added,
    Halt,
    decode_ticked,
    encode_added,
    encode_halt,
    encode_ticked,
)
from streams.wire.state import LedgerRecord
from streams.worker.ports import Append

MINUTE = 60_000

ran: list[tuple[str, Tick]] = []
boxes: list[Sandbox] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    ran.clear()
    boxes.clear()


def times(name: str = "") -> list[str]:
    return [f"{tick.time:%H:%M}" for who, tick in ran if not name or who == name]


@job(name="each_ten", cron=Cron("*/10 * * * *"))
async def each_ten(tick: Tick, ctx: JobContext) -> str:
    ran.append(("each_ten", tick))
    return ctx.id


@job(name="five", queue="bulk", cron=Every("5m", missed="run_all", overlap="allow"))
async def five(tick: Tick) -> None:
    ran.append(("five", tick))


@job(name="strict", cron=Cron("0 * * * *", missed="skip", overlap="queue"))
async def strict(tick: Tick) -> None:
    ran.append(("strict", tick))


# The world of tests begins at 22:13:20.


async def test_each_tick_runs_at_its_time_and_is_told_what_it_is_for():
    async with Sandbox(each_ten) as box:
        await box.advance("399999ms")
        assert ran == []
        await box.advance("1ms")
        assert times() == ["22:20"]
        await box.advance("30m")
        assert times() == ["22:20", "22:30", "22:40", "22:50"]
        _, tick = ran[0]
        assert tick.schedule == "each_ten"
        assert tick.time == datetime(2023, 11, 14, 22, 20, tzinfo=UTC)
        assert (tick.missed, tick.is_manual) == (0, False)
        ids = {each.job.id for each in box.jobs(state="completed")}
        assert "each_ten:2023-11-14T22:20:00Z" in ids


@pytest.mark.parametrize("loses_disk", [False, True])
async def test_what_was_missed_in_an_outage(loses_disk: bool):
    async with Sandbox(each_ten, five, strict, queues=("default", "bulk")) as box:
        await box.advance("10m")
        assert times("each_ten") == ["22:20"]
        await kill_all(box)
        box.cluster.clock.set(box.cluster.clock.now() + 120 * MINUTE)
        ran.clear()
        await crash(box, loses_disk=loses_disk)
        await box.cluster.settle()
        # one run for all of them, which knows that
        assert times("each_ten") == ["00:20"]
        _, tick = next(each for each in ran if each[0] == "each_ten")
        assert tick.missed == 12
        assert tick.first_missed == datetime(2023, 11, 14, 22, 30, tzinfo=UTC)
        assert tick.last_missed == datetime(2023, 11, 15, 0, 20, tzinfo=UTC)
        # all of them, in their order
        assert len(times("five")) == 24
        assert times("five")[:2] == ["22:25", "22:30"]
        # none of them
        assert times("strict") == []
        # and then they go on
        await box.advance("40m")
        assert times("each_ten")[1:] == ["00:30", "00:40", "00:50", "01:00"]
        assert times("strict") == ["01:00"]
        told = decode_ticked(box.cluster.latest("jobs.control")[b"cron:strict"])
        assert (told.fired, told.missed, told.skipped) == (1, 2, 2)


async def test_a_crash_between_the_jobs_and_their_record_runs_none_twice():
    async with Sandbox(each_ten) as box:
        await box.advance("7m")
        control = box.cluster.log.records("jobs.control")
        before = [each for each in control if each.key == b"cron:each_ten"][-2].value
        assert before is not None
        await kill_all(box)
        box.cluster.log.write(Append("jobs.control", 0, b"cron:each_ten", before))
        await crash(box)
        await box.cluster.settle()
        await box.advance("10m")
        assert times() == ["22:20", "22:30"]


async def test_two_workers_run_each_tick_once():
    cluster = cluster_of(each_ten, strict)
    await cluster.start_worker("a")
    await cluster.start_worker("b")
    for n in range(6):
        await pass_time(cluster, 20 * MINUTE)
        await cluster.kill(cluster.workers[n % 2])
        await cluster.start_worker(f"c{n}")
    await pass_time(cluster, MINUTE)
    assert len(times("each_ten")) == len(set(times("each_ten")))
    assert len(times("each_ten")) >= 11
    for worker in list(cluster.workers):
        await cluster.kill(worker)


async def test_a_pause_drops_what_is_due_and_a_new_pattern_begins_anew():
    async with Sandbox(each_ten) as box:
        await box.advance("10m")
        await pause(box, "each_ten", is_paused=True)
        await box.advance("1h")
        assert times() == ["22:20"]
        await pause(box, "each_ten", is_paused=False)
        await box.advance("10m")
        assert times() == ["22:20", "23:30"]


async def test_one_that_was_decided_ahead_says_so_and_goes_on_when_it_is_told_to(
    caplog: pytest.LogCaptureFixture,
):
    async with Sandbox(each_ten) as box:
        await box.advance("10m")
        # given a worker whose clock was a year ahead for a while
        known = box.cluster.latest(box.cluster.names.control)[b"cron:each_ten"]
        ahead = replace(decode_ticked(known), last=box.cluster.clock.now() + 365 * 86_400_000)
        await tell(box, encode_ticked("each_ten", ahead))
        await box.advance("1h")
        assert times() == ["22:20"]
        (told,) = (x.message for x in caplog.records if "a clock was ahead" in x.message)
        assert "`streams cron resume each_ten`" in told
        # when it is told to go on, it does, and was told once
        await pause(box, "each_ten", is_paused=False)
        await box.advance("20m")
        assert times() == ["22:20", "23:30", "23:40"]
        await crash(box, "w2")
        await box.advance("10m")
        assert times()[-1] == "23:50"


async def pause(box: Sandbox, name: str, *, is_paused: bool) -> None:
    await tell(box, encode_halt(name, Halt(at=box.cluster.clock.now(), is_paused=is_paused)))


async def test_the_first_schedule_of_a_queue_may_be_one_that_was_added():
    @job(name="taker", queue="bulk")
    async def taker(tick: Tick) -> None:
        ran.append((tick.schedule, tick))

    async with Sandbox(taker, queues=("default", "bulk")) as box:
        await tell(box, encode_added("beat", beat(queue="bulk")))
        await box.advance("10m")
        assert times("beat") == ["22:20"]


def beat(queue: str = "default") -> Added:
    """Every ten minutes, for a job that takes ticks."""
    schedule = Every("10m", overlap="allow")
    return Added(schedule=schedule, job="taker", queue=queue, key=None, payload=None)


async def test_one_that_was_added_runs_until_it_is_removed_and_leaves_nothing():
    @job(name="taker")
    async def taker(tick: Tick) -> None:
        ran.append((tick.schedule, tick))

    async with Sandbox(taker) as box:
        await tell(box, encode_added("beat", beat()))
        await box.advance("10m")
        assert times("beat") == ["22:20"]
        latest = box.cluster.latest("jobs.control")[b"cron:beat"]
        # when it is removed, and its worker writes how far it is before it has seen that
        for key, _ in (encode_added("beat", None), (b"cron:beat", None)):
            box.cluster.log.write(Append("jobs.control", 0, key, None))
        await tell(box, (b"cron:beat", latest))
        # then nothing of it is left
        await box.advance("30m")
        assert times("beat") == ["22:20"]
        assert box.cluster.latest("jobs.control").get(b"cron:beat") is None


async def tell(box: Sandbox, record: tuple[bytes, bytes | None]) -> None:
    box.cluster.log.write(Append("jobs.control", 0, *record))
    await box.cluster.workers[0].engine.look_at_control()
    await box.cluster.settle()


def overlapping(policy: Overlap, said: list[str]) -> Any:
    @job(name="slow", cron=Every("1m", overlap=policy))
    async def slow(tick: Tick) -> None:
        said.append(f"{tick.time:%M} begins")
        try:
            await for_a_while(150_000)
        except asyncio.CancelledError:
            said.append(f"{tick.time:%M} is cancelled")
            raise
        said.append(f"{tick.time:%M} ends")

    return slow


@pytest.mark.usefixtures("all_ends")
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("allow", ["14 begins", "15 begins", "16 begins", "14 ends", "17 begins"]),
        ("skip", ["14 begins", "14 ends", "17 begins"]),
        ("queue", ["14 begins", "14 ends", "15 begins"]),
        (
            "cancel_previous",
            ["14 begins", "14 is cancelled", "15 begins", "15 is cancelled", "16 begins"],
        ),
    ],
)
async def test_a_run_that_finds_the_one_before_it_open(policy: Overlap, expected: list[str]):
    said: list[str] = []
    cluster = cluster_of(overlapping(policy, said))
    await cluster.start_worker("a")
    await pass_time(cluster, 5 * MINUTE)
    assert said[: len(expected)] == expected


async def test_what_is_skipped_says_which_run_is_open():
    @job(name="slow", cron=Every("10m"))
    async def slow(tick: Tick) -> None:
        raise RetryAfter("25m")

    async with Sandbox(slow) as box:
        await box.advance("17m")
        (dropped,) = box.jobs(state="discarded")
        assert isinstance(dropped, LedgerRecord)
        assert dropped.job.id == "slow:2023-11-14T22:30:00Z"
        assert dropped.reason == (
            "overlap: the run before it, slow:2023-11-14T22:20:00Z, is still open"
        )


async def test_a_dead_run_does_not_end_its_schedule():
    @job(name="fails", cron=Every("10m"))
    async def fails(tick: Tick) -> None:
        ran.append(("fails", tick))
        raise PermanentError("for good")

    async with Sandbox(fails) as box:
        await box.advance("31m")
        assert len(times("fails")) == 3
        assert len(box.jobs(state="dead")) == 3


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"cron": Cron("61 * * * *")}, "61 is no minute"),
        ({"cron": Cron("0 7 * * *", tz="Europe/Berln")}, "did you mean Europe/Berlin"),
        ({"cron": Every("0s")}, "shorter than"),
        ({"cron": "0 7 * * *"}, "write cron=Cron"),
        ({"cron": Every("1m"), "throttle": "1h"}, "contradict each other"),
        ({"cron": Every("1m", missed="run_all")}, "contradict each other"),
        ({"cron": Every("1m", overlap="allow"), "ledger": False}, "needs the ledger"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_a_mistake(options: dict[str, Any], why: str):
    @job(name="wrong", **options)
    async def wrong(tick: Tick) -> None: ...

    assert any(why in mistake for mistake in wrong.__job_definition__.mistakes), (
        wrong.__job_definition__.mistakes
    )


def test_a_schedule_without_a_tick_is_a_mistake():
    @job(name="wrong", cron=Every("1m"))
    async def wrong(n: int) -> None: ...

    assert "takes a Tick" in wrong.__job_definition__.mistakes[0]


@pytest.mark.parametrize(
    "schedule",
    [Cron("61 * * * *"), Cron("* * * * *", tz="Not/Known"), Every("0ms")],
    ids=["pattern", "zone", "interval"],
)
async def test_a_schedule_that_this_worker_can_not_read_stops_no_other_one(schedule: Any):
    async with Sandbox(each_ten) as box:
        added = Added(schedule=schedule, job="each_ten", queue="default", key=None, payload=None)
        box.cluster.log.write(Append("jobs.control", 0, *encode_added("unreadable", added)))
        await box.advance("20m")
        assert times() == ["22:20", "22:30"]


async def test_a_schedule_that_comes_back_into_the_code_has_missed_nothing():
    async with Sandbox(each_ten) as box:
        await box.advance("10m")
        known = decode_ticked(box.cluster.latest("jobs.control")[b"cron:each_ten"])
        await kill_all(box)
        gone = replace(known, gone=box.cluster.clock.now())
        box.cluster.log.write(Append("jobs.control", 0, *encode_ticked("each_ten", gone)))
        box.cluster.clock.set(box.cluster.clock.now() + 120 * MINUTE)
        await crash(box)
        await box.advance("7m")
        assert times() == ["22:20", "00:30"]


async def test_the_next_tick_of_a_schedule_is_not_reckoned_whenever_another_one_is_due(
    monkeypatch: pytest.MonkeyPatch,
):
    reckoned: list[str] = []

    def next_of(schedule: Any, after_ms: int) -> int | None:
        reckoned.append(schedule.pattern)
        return next_tick(schedule, after_ms)

    monkeypatch.setattr("streams.worker.schedules.next_tick", next_of)

    @job(name="taker")
    async def taker(tick: Tick) -> None: ...

    async with Sandbox(taker, each_ten) as box:
        yearly = replace(beat(), schedule=Cron("@yearly", overlap="allow"))
        await tell(box, encode_added("yearly", yearly))
        await box.advance("2h")
        assert len(times("each_ten")) == 12
        assert reckoned.count("@yearly") == 1


async def test_when_the_next_tick_is_due_is_told_by_whoever_enqueues_it():
    async with Sandbox(each_ten, strict) as box:
        await box.cluster.settle()
        schedules = box.cluster.workers[0].engine.schedules
        start = box.cluster.clock.now()
        due = schedules.told_due()
        assert due == {"each_ten": start + 400_000, "strict": start + 2_800_000}
        await box.advance("400s")
        assert schedules.told_due()["each_ten"] == start + 1_000_000
        # one that is paused has none
        await pause(box, "each_ten", is_paused=True)
        assert schedules.told_due().keys() == {"strict"}
        # and who has lost the partition tells of none
        await kill_all(box)
        assert schedules.told_due() == {}
        await crash(box)
