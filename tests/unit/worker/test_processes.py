"""Worker processes: what crosses, how they end, and that nothing else is harmed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from parts import attempt, definition_of
from process_handlers import Child, work

from streams.errors import AppendFailed
from streams.jobs.outcome import Cancelled, Completed, Dead, Discarded, Outcome, Retrying, Snoozed
from streams.jobs.retry import Fixed, Retry
from streams.kafka.clock import WallClock
from streams.testing.memory import MemoryClock, MemoryLog
from streams.wire.envelope import decode
from streams.wire.topics import TopicNames
from streams.worker.attempt import Attempt
from streams.worker.children import ChildSender
from streams.worker.executor import LoopExecutor
from streams.worker.processes import END_WITHIN, PoolOptions, ProcessPool, cores, modules_of

DEFINITION = definition_of(work)


class Runs:
    """An executor, and what became of its attempts."""

    def __init__(self, options: PoolOptions) -> None:
        self.log = MemoryLog(MemoryClock(), 1)
        self.pool = ProcessPool(options, self.log)
        self.executor = LoopExecutor(
            WallClock(),
            lambda event: None,
            processes=self.pool,
            send=ChildSender(TopicNames(), self.log),
        )
        self._ids = 0

    def begin(
        self, do: str, path: Path | None = None, **changes: object
    ) -> tuple[Attempt, asyncio.Future[Outcome]]:
        """Submit an attempt."""
        self._ids += 1
        taken = attempt(DEFINITION, str(self._ids), None)
        payload = orjson.dumps({"do": do, "path": "" if path is None else str(path)})
        taken.envelope = replace(taken.envelope, payload=payload)
        for name, value in changes.items():
            setattr(taken, name, value)
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.executor.submit(taken, lambda attempt, outcome: ended.set_result(outcome))
        return taken, ended

    async def run(self, do: str, **changes: object) -> Outcome:
        """How an attempt ends."""
        return await self.begin(do, **changes)[1]

    async def pid(self) -> int:
        """The process in which a job runs now."""
        return await self.result("pid")

    async def result(self, do: str) -> int:
        """What a job returns."""
        outcome = await self.run(do)
        assert isinstance(outcome, Completed), outcome
        found: int = orjson.loads(outcome.result or b"null")
        return found


@asynccontextmanager
async def runs(count: int = 1, **changes: object) -> AsyncIterator[Runs]:
    options = PoolOptions(modules=modules_of([DEFINITION]), count=count, **changes)  # type: ignore[arg-type]
    found = Runs(options)
    found.executor.start()
    try:
        yield found
    finally:
        await found.executor.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Other processes have no way to tell us but what the system says of them."""
    while not condition():
        await asyncio.sleep(0.01)


async def until_gone(*pids: int) -> None:
    """At once: sooner than one that is asked to end is killed for not doing so."""
    async with asyncio.timeout(END_WITHIN / 2):
        await until(lambda: all(map(is_gone, pids)))


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def pids_in(path: Path) -> list[int]:
    await until(path.exists)
    return [int(pid) for pid in path.read_text().split()]  # noqa: ASYNC240


async def test_handlers_run_in_processes_that_stay_warm():
    async with runs() as pool:
        pids = {await pool.pid() for _ in range(5)}
        assert len(pids) == 1
        assert os.getpid() not in pids
        assert pool.pool.ready == 1
    assert is_gone(pids.pop())


async def test_a_process_knows_what_its_context_tells():
    async with runs() as pool:
        outcome = await pool.run("context", used=1)
        assert isinstance(outcome, Completed)
        told = orjson.loads(outcome.result or b"")
        assert (told["id"], told["name"], told["attempt"], told["max_attempts"]) == (
            "1",
            "work",
            2,
            3,
        )
        assert told["deadline"] - told["started"] == 300_000


async def test_what_it_raises_is_judged_by_its_policy():
    async with runs() as pool:
        raised = await pool.run("raise")
        assert isinstance(raised, Retrying)
        assert (raised.after_ms, raised.failure.type, raised.failure.message) == (
            7_000,
            "ValueError",
            "raised",
        )
        assert "process_handlers.py" in raised.failure.trace
        for do in ("permanent", "typed", "classified"):
            assert isinstance(await pool.run(do), Dead), do
        assert isinstance(await pool.run("raise", used=2), Dead)  # its attempts are spent
        # one job's own policy comes before the definition's
        own = replace(DEFINITION.retry, attempts=9, backoff=Fixed("1s"))
        assert await pool.run("raise", used=2, retry=own) == Retrying(1_000, raised.failure)
        assert await pool.run("snooze") == Snoozed(3_600_000, True)
        assert await pool.run("discard") == Discarded("not needed")
        left = await pool.run("leave")
        assert isinstance(left, Retrying)
        assert left.failure.type == "SystemExit"
        much = await pool.run("much")
        assert isinstance(much, Retrying)
        assert "the result has 100002 bytes" in much.failure.message


async def test_it_enqueues_through_its_worker_as_a_coroutine_does():
    async with runs() as pool:
        outcome = await pool.run("enqueue")
        assert isinstance(outcome, Completed), outcome
        ids = orjson.loads(outcome.result or b"")
        sent = [decode(record) for record in pool.log.records("jobs.bulk")]
        assert [envelope.id for envelope in sent] == ids
        assert [Child.model_validate_json(each.payload) for each in sent] == [Child(n=1)] * 2
        assert {each.parent for each in sent} == {"1"}
        # and hears that the log refuses
        pool.log.append = refuse  # type: ignore[method-assign]
        refused = await pool.run("enqueue")
        assert isinstance(refused, Retrying)
        assert refused.failure.message == "the broker is away"


async def refuse(records: object) -> list[int]:
    raise AppendFailed("the broker is away")


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("exit", "the worker process ended with exit code 3"),
        ("crash", "the worker process was ended by SIGSEGV"),
    ],
)
async def test_a_process_that_dies_fails_its_own_attempt_alone(do: str, told: str, tmp_path: Path):
    async with runs(2) as pool:
        # given a neighbour in the other process
        neighbour, ended = pool.begin("loop", tmp_path / "pid")
        (pid,) = await pids_in(tmp_path / "pid")
        # when
        outcome = await pool.run(do)
        # then the attempt failed, to be retried
        assert isinstance(outcome, Retrying)
        assert (outcome.failure.type, outcome.failure.message) == (
            "streams.errors.ProcessDied",
            told,
        )
        # and another process does the next one, beside the neighbour
        assert await pool.pid() != pid
        assert not ended.done() and not is_gone(pid)
        neighbour.cancelled = "enough"
        pool.executor.cancel(neighbour, "enough")
        assert await ended == Cancelled("enough")


async def test_a_process_that_is_killed_says_what_may_have_been_the_reason(tmp_path: Path):
    async with runs() as pool:
        _, ended = pool.begin("loop", tmp_path / "pid")
        (pid,) = await pids_in(tmp_path / "pid")
        os.kill(pid, signal.SIGKILL)
        outcome = await ended
        assert isinstance(outcome, Retrying)
        assert "SIGKILL (so does the kernel when memory runs out)" in outcome.failure.message


async def test_an_idle_process_that_dies_is_replaced():
    async with runs() as pool:
        pid = await pool.pid()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.pool.ready == 0)
        assert await pool.pid() != pid


async def test_nothing_starts_before_a_process_is_warm_so_that_no_time_is_lost():
    async with runs() as pool:
        taken, ended = pool.begin("pid")
        while not pool.pool.ready:
            assert taken.started is None
            await asyncio.sleep(0.01)
        await ended
        # nor when the only one has died
        await pool.run("exit")
        taken, ended = pool.begin("pid")
        while not pool.pool.ready:
            assert taken.started is None
            await asyncio.sleep(0.01)
        assert isinstance(await ended, Completed)


async def test_a_cancel_kills_the_process_and_what_it_started(tmp_path: Path):
    async with runs() as pool:
        taken, ended = pool.begin("start a child and loop", tmp_path / "pids")
        pids = await pids_in(tmp_path / "pids")
        assert len(pids) == 2
        taken.cancelled = "enough"
        pool.executor.cancel(taken, "enough")
        assert await ended == Cancelled("enough")
        await until_gone(*pids)
        # and the slot is there again once another one is warm
        assert await pool.pid() not in pids


async def test_an_endless_loop_is_killed_when_its_time_is_over(tmp_path: Path):
    async with runs() as pool:
        await pool.pid()  # it is warm
        _, ended = pool.begin("loop", tmp_path / "pid", timeout_ms=300)
        (pid,) = await pids_in(tmp_path / "pid")
        outcome = await ended
        assert isinstance(outcome, Retrying)
        assert outcome.failure.type == "TimeoutError"
        await until_gone(pid)


async def test_signals_are_for_the_worker():
    async with runs() as pool:
        assert await pool.result("signals") == "here still"


@pytest.mark.parametrize("limit", [{"jobs_max": 2}, {"memory_max": 1}])
async def test_a_process_is_replaced_after_so_many_jobs_or_bytes(limit: dict[str, int]):
    async with runs(**limit) as pool:
        pids = [await pool.pid() for _ in range(4)]
        kept = limit.get("jobs_max", 1)
        assert pids == [pids[at - at % kept] for at in range(4)]
        assert len(set(pids)) == 4 // kept


async def test_what_does_not_import_is_told_and_tried_again(caplog: pytest.LogCaptureFixture):
    pool = ProcessPool(
        PoolOptions(modules=["no_such_module"], count=1), MemoryLog(MemoryClock(), 1)
    )
    executor = LoopExecutor(WallClock(), lambda event: None, processes=pool)
    executor.start()
    try:
        await until(lambda: bool(executor.problems()))
        (problem,) = executor.problems()
        assert problem.startswith("no worker process can be started: importing its handlers failed")
        assert "No module named 'no_such_module'" in problem
        assert "a worker process did not start" in caplog.text
    finally:
        await executor.stop()


@pytest.mark.parametrize("do", ["loop", "loop in native code"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_process_ends_with_its_worker_however_that_ends(
    do: str, number: signal.Signals, tmp_path: Path
):
    here = Path(__file__).parent
    program = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "import asyncio, pathlib, test_processes\n"
        "async def main():\n"
        "    async with test_processes.runs() as pool:\n"
        f"        await pool.begin({do!r}, pathlib.Path(sys.argv[1]))[1]\n"
        "asyncio.run(main())\n"
    )
    worker = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", program, str(tmp_path / "pid")]
    )
    try:
        (pid,) = await pids_in(tmp_path / "pid")
    finally:
        worker.send_signal(number)
    await until_gone(pid)
    worker.wait()


def test_as_many_as_there_are_cores_by_default():
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_a_policy_that_is_code_stays_where_it_is():
    from streams.jobs.retry import Custom
    from streams.wire.options import decode_overrides
    from streams.worker.processes import retry_told

    taken = attempt(DEFINITION, "1", None)
    taken.retry = Retry(attempts=4, backoff=Custom(lambda attempt, error: "1s"))
    told = decode_overrides(retry_told(taken))
    assert (told.attempts, told.backoff) == (4, None)
