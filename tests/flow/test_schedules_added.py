"""Schedules that a client adds: replaced, removed, and those that the code has."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streams import Cron, Every, JobPayload, Tick, job
from streams.errors import ScheduleInvalid, TopicMismatch
from streams.testing import Sandbox
from streams.wire.schedules import Added, encode_added
from streams.worker.ports import Append

START = datetime(2026, 1, 1, 6, 30, tzinfo=UTC)


class Remind(JobPayload, name="remind", key="account", queue="bulk"):
    account: int
    note: str = "first"


class Elsewhere(JobPayload, name="elsewhere", queue="nowhere"): ...


ran: list[tuple[str, str]] = []
boxes: list[Sandbox] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    ran.clear()
    boxes.clear()


@job
async def remind(payload: Remind) -> None:
    ran.append((f"{boxes[0].now:%H:%M}", payload.note))


@job(name="in_code", cron=Every("1h"))
async def in_code(tick: Tick) -> None:
    ran.append((f"{tick.time:%H:%M}", "in code"))


async def test_one_that_was_added_runs_is_replaced_and_removed():
    async with Sandbox(remind, start=START) as box:
        boxes.append(box)
        # given one in a zone of its own
        await box.schedule("dunning:7", Cron("0 9 * * *", tz="Europe/Berlin"), Remind(account=7))
        await box.advance("24h")
        assert ran == [("08:00", "first")]
        ids = {each.job.id for each in box.jobs(state="completed")}
        assert ids == {"dunning:7:2026-01-01T08:00:00Z"}
        # when it is replaced, then by its payload, and by its times
        again = Remind(account=7, note="second")
        await box.schedule("dunning:7", Cron("0 9 * * *", tz="Europe/Berlin"), again)
        await box.advance("24h")
        assert ran[1:] == [("08:00", "second")]
        await box.schedule("dunning:7", Every("8h"), again)
        await box.advance("24h")
        assert ran[2:] == [("08:00", "second"), ("16:00", "second"), ("00:00", "second")]
        # when it is removed, then nothing of it is left, and it can be added again
        assert await box.unschedule("dunning:7") is True
        assert await box.unschedule("dunning:7") is False
        await box.advance("24h")
        assert len(ran) == 5
        assert [key for key in box.cluster.latest("jobs.control") if key.startswith(b"cron")] == []
        await box.schedule("dunning:7", Every("12h"), again)
        await box.advance("12h")
        assert ran[5:] == [("12:00", "second")]


async def test_what_is_in_the_code_is_neither_replaced_nor_removed():
    async with Sandbox(remind, in_code, start=START) as box:
        boxes.append(box)
        with pytest.raises(ScheduleInvalid, match="in_code is in the code of a worker: choose"):
            await box.schedule("in_code", Every("5m"), Remind(account=7))
        with pytest.raises(ScheduleInvalid, match="streams cron pause in_code"):
            await box.unschedule("in_code")
        assert await box.unschedule("nobody") is False
        await box.advance("1h")
        assert ran == [("07:00", "in code")]


async def test_a_queue_that_is_not_there_is_refused():
    async with Sandbox(remind) as box:
        with pytest.raises(TopicMismatch, match="no queue 'nowhere'"):
            await box.schedule("dunning:7", Every("5m"), Elsewhere())


async def test_one_that_was_added_before_the_code_had_its_name_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
):
    async with Sandbox(remind, in_code, start=START) as box:
        boxes.append(box)
        hidden = Added(
            schedule=Every("5m", overlap="allow"),
            job="remind",
            queue="bulk",
            key="remind:7",
            payload=b'{"account":7}',
        )
        for _ in range(2):
            box.cluster.log.write(Append("jobs.control", 0, *encode_added("in_code", hidden)))
            await box.cluster.workers[0].engine.look_at_control()
            await box.cluster.settle()
        told = [each for each in caplog.messages if "was added, and is in the code" in each]
        assert told == ["schedule in_code was added, and is in the code: that one holds"]
        assert await box.unschedule("in_code") is True
        await box.advance("1h")
        assert ran == [("07:00", "in code")]
