"""A sandbox has the calls of a client, and its time passes when it is told to."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from streams import Event, Fixed, JobContext, JobPayload, PermanentError, Retry, Snooze, job
from streams.client import Sender
from streams.errors import JobFailed, PayloadInvalid, ResultTimeout, StreamsError, TopicMismatch
from streams.jobs.states import State
from streams.testing import Sandbox

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Report(JobPayload, name="report", key="account", queue="bulk"):
    account: int
    n: int = 0
    do: str = "nothing"


class Opened(Event, type="account.opened", key="account"):
    account: int


@job(retry=Retry(attempts=2, backoff=Fixed("10s")))
async def report(payload: Report, ctx: JobContext) -> dict[str, int]:
    match payload.do:
        case "fail":
            raise ValueError("no printer")
        case "fail once" if ctx.attempt == 1:
            raise ValueError("no paper")
        case "give up":
            raise PermanentError("no account")
        case "snooze" if ctx.attempt == 1 and not seen:
            seen.append("snoozed")
            raise Snooze("1h")
    seen.append(f"{payload.n}")
    return {"n": payload.n}


@job(queue="bulk")
async def on_opened(event: Opened, ctx: JobContext) -> str:
    seen.append(ctx.traceparent or "nobody")
    return "opened"


@job(name="sleeps")
def sleeps(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


seen: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    seen.clear()


@pytest.mark.parametrize("given", [[sleeps], None, "shop.handlers"])
def test_what_has_no_handlers_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match="modules, handlers and listeners, one by one"):
        Sandbox(given)


# What a client's calls do


async def test_a_handle_tells_what_became_of_its_job() -> None:
    async with Sandbox(report) as box:
        handle = await box.enqueue(Report(account=1, n=3), id="one")
        assert (handle.id, handle.name, handle.queue, handle.key) == (
            "one",
            "report",
            "bulk",
            "report:1",
        )
        status = await handle.status()
        assert (status.state, status.attempt, status.result) == (State.COMPLETED, 1, {"n": 3})
        assert await handle.result() == {"n": 3}
        assert box.result(handle) == {"n": 3}
        assert await handle.cancel() is False


async def test_a_result_is_waited_for_in_virtual_time() -> None:
    async with Sandbox(report) as box:
        began = box.now
        handle = await box.enqueue(Report(account=1, n=4), delay="1h")
        assert (await handle.status()).due == began + timedelta(hours=1)
        with pytest.raises(ResultTimeout, match="is scheduled after 5m"):
            await handle.result()
        assert box.now == began + timedelta(minutes=5)
        assert await handle.result("55m") == {"n": 4}
        assert box.now == began + timedelta(hours=1)


async def test_what_fails_says_so_as_a_client_does() -> None:
    async with Sandbox(report) as box:
        handle = await box.enqueue(Report(account=1, do="fail"))
        assert (await handle.status()).state == "retrying"
        with pytest.raises(JobFailed, match="is dead: ValueError: no printer") as failed:
            await handle.result()
        assert failed.value.state == "dead"
        with pytest.raises(JobFailed, match="is dead: ValueError: no printer"):
            box.result(handle)
        assert (await handle.status()).attempt == 2


async def test_a_result_that_is_not_there_yet_says_what_the_job_waits_for() -> None:
    async with Sandbox(report) as box:
        scheduled = await box.enqueue(Report(account=1), id="one", delay="1h")
        with pytest.raises(ResultTimeout, match=r"report one is scheduled, until 2023-11-14T23:13"):
            box.result(scheduled)
        behind = await box.enqueue(Report(account=2, do="fail"))
        parked = await box.enqueue(Report(account=2, n=1), id="two")
        with pytest.raises(
            ResultTimeout,
            match=r"report two is parked \(an earlier job of its key is open\): .*advance",
        ):
            box.result(parked)
        await box.cancel(behind)
        assert box.result(parked) == {"n": 1}
        with pytest.raises(JobFailed, match="is cancelled"):
            box.result(behind)


async def test_a_job_is_cancelled_and_given_another_time_by_its_handle() -> None:
    async with Sandbox(report) as box:
        gone = await box.enqueue(Report(account=1, n=1), delay="1d")
        assert await gone.cancel("not needed") is True
        assert (await gone.status()).error == "not needed"
        later = await box.enqueue(Report(account=2, n=2), delay="1d")
        assert await later.reschedule(run_at=box.now + timedelta(hours=2)) is True
        sooner = await box.enqueue(Report(account=3, n=3), delay="1d")
        assert await sooner.reschedule(delay="1h") is True
        await box.reschedule(later, delay="3h")
        await box.advance("2h")
        assert seen == ["3"]
        await box.advance("1h")
        assert seen == ["3", "2"]


async def test_one_job_has_the_options_of_a_client() -> None:
    async with Sandbox(report, on_opened) as box:
        dead = await box.enqueue(Report(account=1, do="fail"), attempts=1)
        assert (await dead.status()).state == "dead"
        soon = await box.enqueue(Report(account=2, do="fail"), backoff=Fixed("3s"))
        assert (await soon.status()).due == box.now + timedelta(seconds=3)
        dated = await box.enqueue(
            Report(account=3, n=7), run_at=datetime(2024, 1, 1, tzinfo=UTC), expires="90d"
        )
        assert (await dated.status()).due == datetime(2024, 1, 1, tzinfo=UTC)
        elsewhere = await box.enqueue(Report(account=4, n=8), queue="critical", delay="1h")
        assert elsewhere.queue == "critical"
        await box.cancel(elsewhere)
        assert (await elsewhere.status()).state == "cancelled"
        assert Report(account=4, n=8) in box.enqueued(Report)
        many = await box.enqueue_many(Report(account=n, n=n) for n in (10, 11))
        assert [box.result(each) for each in many] == [{"n": 10}, {"n": 11}]
        last = await box.enqueue_batch(
            [Report(account=20, n=20), Report(account=21, n=21)], then=Report(account=22, n=22)
        )
        assert await last.result() == {"n": 22}
        assert seen[-1] == "22"
        raw = await box.enqueue_raw("report", "bulk", {"account": 5, "n": 9}, key="5")
        assert box.result(raw) == {"n": 9}
        seen.clear()
        await box.emit(Opened(account=1), traceparent=TRACE)
        await box.emit_raw("account.opened", {"account": 1}, key="1")
        assert seen == [TRACE, "nobody"]


async def test_what_is_enqueued_is_purged() -> None:
    async with Sandbox(report) as box:
        handles = [await box.enqueue(Report(account=n, n=n), delay="1h") for n in range(4)]
        await box.purge("bulk", "report", reason="enough")
        assert {(await each.status()).state for each in handles} == {"cancelled"}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"delay": "-1h"}, "delay: -1h is negative"),
        ({"run_at": datetime(2030, 1, 1)}, "has no time zone"),
        ({"expires": "soon"}, "expires: 'soon' is no duration"),
        ({"attempts": 0}, "attempts=0"),
        ({"id": ""}, "id=''"),
    ],
)
async def test_what_a_client_refuses_is_refused(options: dict[str, object], why: str) -> None:
    async with Sandbox(report) as box:
        with pytest.raises(PayloadInvalid, match=why):
            await box.enqueue(Report(account=1), **options)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="did you mean delay="):
            await box.enqueue(Report(account=1), dely="1h")
        with pytest.raises(TypeError, match="is an event"):
            await box.enqueue(Opened(account=1))  # type: ignore[arg-type]
        handle = await box.enqueue(Report(account=1), delay="1h")
        with pytest.raises(PayloadInvalid, match="-1h is negative"):
            await box.reschedule(handle, delay="-1h")
        with pytest.raises(TopicMismatch, match=r"no queue 'fast' in this sandbox.*queues="):
            await box.enqueue(Report(account=1), queue="fast")


async def test_what_is_not_open_says_so() -> None:
    with pytest.raises(StreamsError, match="is not open: use `async with"):
        await Sandbox(report).enqueue(Report(account=1))


async def test_a_service_that_takes_a_sender_is_given_a_sandbox() -> None:
    async def ask_for(jobs: Sender, account: int) -> str:
        return (await jobs.enqueue(Report(account=account), id=f"report:{account}")).id

    async with Sandbox(report) as box:
        assert await ask_for(box, 7) == "report:7"
        assert len(box.jobs(state="completed")) == 1


# Time


async def test_time_starts_when_it_is_told() -> None:
    start = datetime(2026, 1, 1, 8, tzinfo=UTC)
    async with Sandbox(report, start=start) as box:
        assert box.now == start
        await box.advance("90m")
        assert box.now == start + timedelta(minutes=90)
    with pytest.raises(ValueError, match="has no time zone"):
        Sandbox(report, start=datetime(2026, 1, 1))


@pytest.mark.parametrize("waits", ["in a thread", "on the loop"])
async def test_what_really_takes_time_is_waited_for_at_rest(waits: str) -> None:
    class Rest(JobPayload, name="rest"): ...

    @job(name="rest")
    async def rest(payload: Rest) -> str:
        await asyncio.sleep(1)
        return "rested"

    async with Sandbox(sleeps, rest) as box:
        payload = sleeps.payload(seconds=1.0) if waits == "in a thread" else Rest()
        began, used = time.monotonic(), time.process_time()
        handle = await box.enqueue(payload)
        assert time.monotonic() - began >= 1
        assert box.result(handle) == "rested"
        assert time.process_time() - used < 0.5
