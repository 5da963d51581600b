"""What a handler says of its job while it runs: checkpoints, progress, the lines of its log."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from steps import crash, kill_all, until

from streams import (
    Fixed,
    JobContext,
    JobPayload,
    PermanentError,
    Retry,
    Snooze,
    SyncJobContext,
    job,
)
from streams.errors import AppendFailed
from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.notes import Progress
from streams.jobs.states import State
from streams.testing.sandbox import Sandbox
from streams.wire.state import LedgerRecord, OpenEntry
from streams.worker.ports import Append


class Import(JobPayload, name="import", key="file"):
    file: str
    rows: int = 3


class Render(JobPayload, name="render"):
    pass


seen_in_line: list[Any] = []


@job(runs_in="process", retry=Retry(attempts=2, backoff=Fixed("1s")))
def render(payload: Render, ctx: SyncJobContext) -> None:
    seen_in_line.append(ctx.checkpointed)
    ctx.checkpoint(ctx.attempt)
    ctx.progress(1, 2)
    ctx.log.info("row %d", ctx.attempt)
    if ctx.attempt == 1:
        raise ConnectionError("lost")


def only(box: Sandbox) -> OpenEntry | LedgerRecord:
    (found,) = box.jobs()
    return found


# -- checkpoints -----------------------------------------------------------------------------------


async def test_the_next_attempt_goes_on_from_the_last_checkpoint():
    seen: list[Any] = []

    @job(retry=Retry(attempts=3, backoff=Fixed("10s")))
    async def import_(payload: Import, ctx: JobContext) -> int:
        seen.append(ctx.checkpointed)
        for row in range((ctx.checkpointed or {"row": 0})["row"], payload.rows):
            await ctx.checkpoint({"row": row + 1})
            assert ctx.checkpointed == {"row": row + 1}
            if ctx.attempt <= row:
                raise ConnectionError("lost")
        return payload.rows

    async with Sandbox(import_) as box:
        key = await box.enqueue(Import(file="a", rows=3))
        await box.advance("10s")
        await box.advance("10s")
        assert seen == [None, {"row": 2}, {"row": 3}]
        assert box.result(key) == 3
        assert box.jobs(state=State.COMPLETED)[0].notes is None  # nothing goes on from there


async def test_a_checkpoint_is_in_state_when_its_call_returns():
    in_state: list[OpenEntry] = []
    box: Sandbox

    @job
    async def import_(payload: Import, ctx: JobContext) -> None:
        await ctx.checkpoint([1, "two"])
        in_state.extend(entry for entry in box.jobs() if isinstance(entry, OpenEntry))

    async with Sandbox(import_) as box:
        await box.enqueue(Import(file="a"))
        (entry,) = in_state
        assert entry.state is State.RUNNING
        assert entry.notes is not None and entry.notes.checkpoint == '[1,"two"]'


async def test_it_is_there_after_a_crash_a_snooze_and_a_replay():
    seen: list[Any] = []
    goes_on = asyncio.Event()

    @job(retry=Retry(attempts=1))
    async def import_(payload: Import, ctx: JobContext) -> None:
        seen.append(ctx.checkpointed)
        match len(seen):
            case 1:
                await ctx.checkpoint("crash")
                await goes_on.wait()
            case 2:
                await ctx.checkpoint("snooze")
                raise Snooze("1m")
            case 3:
                await ctx.checkpoint("dead")
                raise PermanentError("no")

    async with Sandbox(import_) as box:
        enqueueing = asyncio.create_task(box.enqueue(Import(file="a")))
        await until(lambda: any(entry.notes is not None for entry in box.jobs()))
        await kill_all(box)
        enqueueing.cancel()
        await crash(box)
        await box.advance("30s")
        await box.advance("1m")
        dead = only(box)
        assert dead.state is State.DEAD
        await box.replay(dead.job)
        assert seen == [None, "crash", "snooze", "dead"]


async def test_functions_in_threads_and_processes_have_checkpoints_too():
    seen: list[Any] = []

    @job(retry=Retry(attempts=2, backoff=Fixed("1s")))
    def import_(payload: Import, ctx: SyncJobContext) -> None:
        seen.append(ctx.checkpointed)
        ctx.checkpoint(ctx.attempt)
        ctx.progress(1, 2)
        ctx.log.info("row %d", ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError("lost")

    async with Sandbox(import_, render) as box:
        await box.enqueue(Import(file="a"))
        await box.advance("1s")
        await box.enqueue(Render())
        await box.advance("1s")
        assert seen == [None, 1]
        assert seen_in_line == [None, 1]
        for over in box.jobs(state=State.COMPLETED):
            assert over.notes is not None
            assert over.notes.progress == Progress(processed=1, total=2)
            assert [line.text for line in over.notes.log] == ["row 1", "row 2"]


async def test_a_thread_that_waits_for_a_checkpoint_when_its_partition_goes_is_let_go():
    told: list[BaseException] = []
    began, ended = threading.Event(), threading.Event()

    @job
    def import_(payload: Import, ctx: SyncJobContext) -> None:
        began.set()
        try:
            ctx.checkpoint(1)
        except BaseException as error:
            told.append(error)
            raise
        finally:
            ended.set()

    async with Sandbox(import_) as box:
        refused: list[str] = []
        append = box.cluster.log.append

        async def refuse(records: Sequence[Append]) -> Sequence[int]:
            if records[0].topic == box.cluster.names.retry("default") and began.is_set():
                refused.append(records[0].topic)
                raise AppendFailed("no leader")
            return await append(records)

        box.cluster.log.append = refuse  # type: ignore[method-assign]
        enqueueing = asyncio.create_task(box.enqueue(Import(file="a")))
        await until(lambda: bool(refused))
        (worker,) = box.cluster.workers
        await box.cluster.kill(worker)
        enqueueing.cancel()
        await until(ended.is_set)
        assert isinstance(told[0], asyncio.CancelledError)
        box._worker = None


async def test_checkpoints_of_one_turn_share_its_writes():
    waiting: list[int] = []
    together = asyncio.Event()

    class Loose(JobPayload, name="loose"):
        n: int

    @job
    async def loose(payload: Loose, ctx: JobContext) -> None:
        waiting.append(payload.n)
        await together.wait()
        await ctx.checkpoint(payload.n)

    async with Sandbox(loose, partitions=1) as box:
        written: list[int] = []
        append = box.cluster.log.append

        async def counted(records: Sequence[Append]) -> Sequence[int]:
            if records[0].topic == box.cluster.names.retry("default"):
                written.append(len(records))
            return await append(records)

        enqueueing = [asyncio.create_task(box.enqueue(Loose(n=n))) for n in range(20)]
        await until(lambda: len(waiting) == 20)
        box.cluster.log.append = counted  # type: ignore[method-assign]
        together.set()
        await asyncio.gather(*enqueueing)
        assert 20 in written
        assert len(box.jobs(state=State.COMPLETED)) == 20


async def test_what_waits_behind_a_checkpointed_job_of_its_key_keeps_its_order():
    ran: list[str] = []
    go_on = asyncio.Event()

    @job(name="import")
    async def import_(payload: Import, ctx: JobContext) -> None:
        ran.append(f"{payload.rows} begins")
        await ctx.checkpoint(1)
        if payload.rows == 0:
            await go_on.wait()
        ran.append(f"{payload.rows} ends")

    async with Sandbox(import_) as box:
        tasks = [asyncio.create_task(box.enqueue(Import(file="a", rows=n))) for n in range(4)]
        await until(lambda: bool(ran) and any(job.notes is not None for job in box.jobs()))
        go_on.set()
        await asyncio.gather(*tasks)
        assert ran == [f"{n} {how}" for n in range(4) for how in ("begins", "ends")]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"rows": [1, object()]}, r"checkpoint\.rows\[1\]: a value of type object"),
        ({"image": b"\xff"}, r"checkpoint\.image: a value of type bytes"),
        ({"cursor": [2**64]}, r"checkpoint\.cursor\[0\]: a whole number beyond 64 bits"),
        ("x" * 70_000, r"the checkpoint has 70002 bytes, the limit is 65536"),
    ],
)
async def test_a_checkpoint_that_can_not_be_kept_fails_the_attempt(value: Any, told: str):
    @job(retry=Retry(attempts=1))
    async def import_(payload: Import, ctx: JobContext) -> None:
        await ctx.checkpoint(value)

    async with Sandbox(import_) as box:
        await box.enqueue(Import(file="a"))
        dead = only(box)
        assert dead.failure is not None
        assert re.search(told, dead.failure.message)
        assert dead.notes is None


@pytest.mark.parametrize("returned", [10**400, {"n": -(2**63) - 1}])
async def test_a_whole_number_that_would_not_come_back_is_no_result(returned: Any):
    @job(retry=Retry(attempts=1))
    async def import_(payload: Import) -> Any:
        return returned

    async with Sandbox(import_) as box:
        await box.enqueue(Import(file="a"))
        dead = only(box)
        assert dead.failure is not None
        assert "a whole number beyond 64 bits can't be kept" in dead.failure.message


async def test_whole_numbers_of_64_bits_come_back_as_they_were():
    numbers = [2**64 - 1, -(2**63), "9" * 40]

    @job
    async def import_(payload: Import) -> Any:
        return numbers

    async with Sandbox(import_) as box:
        assert box.result(await box.enqueue(Import(file="a"))) == numbers


async def test_a_result_that_can_not_be_kept_names_its_field():
    @job(retry=Retry(attempts=1))
    async def import_(payload: Import) -> Any:
        return {"found": {"by": {"name": object()}}}

    async with Sandbox(import_) as box:
        await box.enqueue(Import(file="a"))
        dead = only(box)
        assert dead.failure is not None
        assert dead.failure.message.startswith("result.found.by.name: a value of type object")


# -- progress and log ------------------------------------------------------------------------------


async def test_progress_is_told_once_a_second_and_kept_with_the_job():
    @job(name="import")
    async def import_(payload: Import, ctx: JobContext) -> None:
        await ctx.progress(1, 100)
        await is_told.wait()
        for row in range(1, 100):
            await ctx.progress(row + 1, 100)
        await go_on.wait()

    def told() -> list[LifecycleEvent]:
        return [event for event in box.events if event.happening is Happening.PROGRESS]

    is_told, go_on = asyncio.Event(), asyncio.Event()
    async with Sandbox(import_) as box:
        enqueueing = asyncio.create_task(box.enqueue(Import(file="a")))
        await until(lambda: len(told()) == 1)
        is_told.set()
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(told()) == 1
        box.cluster.clock.set(box.cluster.clock.now() + 1_000)
        await until(lambda: len(told()) == 2)
        go_on.set()
        await enqueueing
        assert told()[-1].progress == Progress(processed=100, total=100)
        over = only(box)
        assert over.state is State.COMPLETED
        assert over.notes is not None and over.notes.progress == Progress(processed=100, total=100)
        assert over.notes.progress.plain() == {"processed": 100, "total": 100, "percentage": 100.0}


async def test_what_a_long_job_says_is_in_state_while_it_runs():
    go_on = asyncio.Event()

    @job(name="import")
    async def import_(payload: Import, ctx: JobContext) -> None:
        await ctx.progress(1, 4)
        ctx.log.warning("row %s is odd", 1)
        await go_on.wait()

    async with Sandbox(import_) as box:
        enqueueing = asyncio.create_task(box.enqueue(Import(file="a")))
        clock = box.cluster.clock
        await until(lambda: any(e.happening is Happening.STARTED for e in box.events))
        assert box.jobs() == []
        clock.set(clock.now() + 2_000)
        await until(lambda: bool(box.jobs()))
        entry = only(box)
        assert isinstance(entry, OpenEntry) and entry.notes is not None
        assert entry.state is State.RUNNING
        assert entry.notes.progress == Progress(processed=1, total=4)
        (line,) = entry.notes.log
        assert (line.level, line.text, line.attempt) == ("WARNING", "row 1 is odd", 1)
        go_on.set()
        await enqueueing


async def test_a_short_job_that_says_much_writes_no_more_than_its_end():
    @job(name="import")
    async def import_(payload: Import, ctx: JobContext) -> None:
        for row in range(1_000):
            ctx.log.info("%d%s", row, "x" * 1_000)
            await ctx.progress(row)

    async with Sandbox(import_, partitions=1) as box:
        await box.enqueue(Import(file="a"))
        retry = box.cluster.log.records(box.cluster.names.retry("default"))
        assert [r for r in retry if not (r.key or b"#").startswith(b"#")] == []
        over = only(box)
        assert over.notes is not None and over.notes.progress == Progress(processed=999)
        assert len(over.notes.log) == 50
        assert over.notes.log[-1].text.startswith("999xxx")
        assert {len(line.text) for line in over.notes.log} == {500}


@pytest.mark.parametrize(
    ("processed", "total", "told"),
    [
        ("3", 4, "progress: processed is a number, not '3'"),
        (3, -1, "progress: total is a number from 0 on, not -1"),
        (True, 4, "progress: processed is a number, not True"),
        (float("nan"), 4, "progress: processed is a number from 0 on, not nan"),
    ],
)
async def test_progress_that_is_none_fails_the_attempt_and_names_the_field(
    processed: Any, total: Any, told: str
):
    @job(retry=Retry(attempts=1))
    async def import_(payload: Import, ctx: JobContext) -> None:
        await ctx.progress(processed, total)

    async with Sandbox(import_) as box:
        await box.enqueue(Import(file="a"))
        dead = only(box)
        assert dead.failure is not None and dead.failure.message == told


@pytest.mark.parametrize(
    ("level", "logged", "kept"),
    [
        (logging.WARNING, ["three"], ["two a", "three"]),
        (logging.DEBUG, ["one", "two a", "three"], ["one", "two a", "three"]),
    ],
)
async def test_the_log_goes_to_the_logger_as_its_level_says_and_is_kept_from_info_on(
    level: int, logged: list[str], kept: list[str], caplog: pytest.LogCaptureFixture
):
    @job(name="import")
    async def import_(payload: Import, ctx: JobContext) -> None:
        ctx.log.debug("one")
        ctx.log.info("two %s", payload.file)
        ctx.log.warning("three")

    caplog.set_level(level)
    async with Sandbox(import_) as box:
        await box.enqueue(Import(file="a"))
        ours = [r.message for r in caplog.records if r.name == "streams.handlers.import"]
        assert ours == logged
        notes = only(box).notes
        assert notes is not None and [line.text for line in notes.log] == kept
