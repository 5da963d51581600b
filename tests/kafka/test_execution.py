"""Where handlers run, on real Kafka: cancelled from afar, killed in time, left behind."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from effects import Lines
from execution_handlers import (
    Blocker,
    Brief,
    Endless,
    Failing,
    InProcess,
    InThread,
    OnLoop,
    Quick,
    Sleeping,
    Stuck,
)
from fault_oracle import read_jobs
from fleet import Fleet, happened
from group import Group
from topics import create_topics

from streams.client import Handle, JobClient
from streams.contracts import JobPayload
from streams.dev.ports import free_port
from streams.jobs.states import State
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger, decode_open
from streams.wire.topics import TopicNames

HANDLERS = {"handlers": "execution_handlers"}
PARTITIONS = 4
WITHIN_MS = 1_000  # of a cancel, wherever the job is


class States:
    """What the topics of one queue say of its jobs, by id."""

    def __init__(self, kafka: str, prefix: str, partitions: int = 2) -> None:
        self._kafka = kafka
        self._names = TopicNames(prefix)
        self._partitions = partitions

    async def ledger(self) -> dict[str, LedgerRecord]:
        """What is over."""
        topic = self._names.ledger("default")
        records = await read_jobs(self._kafka, topic, self._partitions)
        found = [decode_ledger(r.key, r.value) for r in records if r.value is not None]
        return {ledger.job.id: ledger for ledger in found}

    async def open(self) -> dict[str, OpenEntry]:
        """What was ever open, as it was last."""
        topic = self._names.retry("default")
        records = await read_jobs(self._kafka, topic, self._partitions)
        found = [decode_open(r.key, r.value) for r in records if r.value is not None]
        return {entry.job.id: entry for entry in found}

    async def until_over(self, handles: Sequence[Handle]) -> dict[str, LedgerRecord]:
        """What became of these jobs, once all are over: topics say nothing, and have to be read."""
        while not {handle.id for handle in handles} <= (found := await self.ledger()).keys():
            await asyncio.sleep(0.1)
        return {handle.id: found[handle.id] for handle in handles}

    async def until_open(self, handles: Sequence[Handle], state: State) -> None:
        """Return once all of these jobs are in this state."""

        def are_there(found: dict[str, OpenEntry]) -> bool:
            return all(h.id in found and found[h.id].state is state for h in handles)

        while not are_there(await self.open()):
            await asyncio.sleep(0.1)


async def cancel_all(handles: Sequence[Handle]) -> dict[str, int]:
    """Cancel them all at the same time; when each cancel was durable, by id."""
    asked: dict[str, int] = {}

    async def cancel(handle: Handle) -> None:
        assert await handle.cancel("enough")
        asked[handle.id] = time.time_ns() // 1_000_000

    await asyncio.gather(*map(cancel, handles))
    return asked


async def test_jobs_in_every_state_are_cancelled_within_a_second_on_whichever_worker_they_are(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, PARTITIONS, queues=("default",))
    numbers = set(range(6))
    settings = {
        **HANDLERS,
        "STREAMS_PARTITIONS": str(PARTITIONS),
        "STREAMS_THREADS": "6",
        "STREAMS_PROCESSES": "2",
    }
    states = States(kafka, prefix, PARTITIONS)
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            fleet.start("a")
            fleet.start("b")
            await Group(kafka, f"{prefix}workers").until_members(2, fleet.logs)

            async def enqueue(kind: Callable[..., JobPayload], **options: Any) -> list[Handle]:
                return [await client.enqueue(kind(n=n), **options) for n in numbers]

            # given jobs that run on both workers, in each of the three places
            running = [
                handle for kind in (OnLoop, InThread, InProcess) for handle in await enqueue(kind)
            ]
            for name in ("on_loop", "in_thread"):
                await fleet.until_each("start", name, numbers)
            found = await fleet.until(lambda lines: len(workers(lines, "in_process")) == 2)
            for name in ("on_loop", "in_thread"):
                assert len(workers(found, name)) == 2, name
            # and jobs that are delayed, retrying, asleep, and behind others
            delayed = await enqueue(Quick, delay="1h")
            retrying, asleep = await enqueue(Failing), await enqueue(Sleeping)
            behind = await enqueue(OnLoop)
            await states.until_open(delayed, State.SCHEDULED)
            await states.until_open(retrying, State.RETRYING)
            await states.until_open(asleep, State.SLEEPING)
            # when all of them are cancelled, those behind first, which have keys of running ones
            everything = [*running, *delayed, *retrying, *asleep]
            for handles in (behind, everything):
                asked = await cancel_all(handles)
                ledger = await states.until_over(handles)
                # then they are over within a second
                assert {record.state for record in ledger.values()} == {State.CANCELLED}
                took = {id: ledger[id].ended - at for id, at in asked.items()}
                assert max(took.values()) < WITHIN_MS, took
            # and handlers have heard of it, or are gone
            for name in ("on_loop", "in_thread"):
                await fleet.until_each("stop", name, numbers)
            processes = {line[5] for line in fleet.lines if line[1] == "in_process"}
            await until_gone(processes)
            # and cancelling them again says that there is nothing to cancel
            assert not any([await handle.cancel() for handle in everything[:3]])
        for worker in fleet.running:
            assert worker.stop() == 0, worker.log


def workers(found: Lines, name: str) -> set[str]:
    """The workers that have started jobs of this name."""
    return {line[4] for line in found if line[:2] == ["start", name]}


async def until_gone(processes: set[str]) -> None:
    """Return once none of them runs: a process says nothing when it is killed."""
    while any(Path(f"/proc/{pid}").exists() for pid in processes):  # noqa: ASYNC240
        await asyncio.sleep(0.05)


async def test_an_endless_loop_in_a_process_is_killed_in_time_and_its_neighbours_go_on(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, queues=("default",))
    latch = tmp_path / "latch"
    states = States(kafka, prefix)
    with Fleet(kafka, prefix, tmp_path, **HANDLERS, STREAMS_PROCESSES="2") as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            worker = fleet.start("a")
            # given a job in one process, a coroutine, and an endless loop in the other process
            await client.enqueue(OnLoop(n=0))
            neighbour = await client.enqueue(InProcess(n=1, latch=str(latch)))
            await fleet.until_each("start", "in_process", {1})
            killed = await client.enqueue(Endless(n=2))
            # when its time is over
            await states.until_open([killed], State.DEAD)
            # then its process is gone, and the next job of its kind has another one
            again = await client.enqueue(Endless(n=3))
            await states.until_open([again], State.DEAD)
            processes = {line[5] for line in fleet.lines if line[1] == "endless"}
            assert len(processes) == 2
            await until_gone(processes)
            for handle in (killed, again):
                status = await handle.status()
                assert status.error == (
                    "TimeoutError: the attempt took longer than its timeout of 1000 ms"
                )
            # and the neighbours were not disturbed
            assert happened(fleet.lines, "stop", "on_loop") == set()
            latch.touch()
            where = await neighbour.result(timeout="30s")
            (line,) = [line for line in fleet.lines if line[:2] == ["start", "in_process"]]
            assert str(where) == line[5]
        assert worker.stop() == 0, worker.log


async def test_threads_that_never_return_free_their_slots_up_to_a_bound_and_hold_no_exit(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, queues=("default",))
    port = free_port()
    latch = str(tmp_path / "latch")
    states = States(kafka, prefix)
    settings = {
        **HANDLERS,
        "STREAMS_THREADS": "1",
        "STREAMS_ABANDONED_THREADS": "1",
        "STREAMS_WEB_PORT": str(port),
        "STREAMS_GRACE": "1s",
    }
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            worker = fleet.start("a")
            # given the only thread, which never returns
            first = await client.enqueue(Stuck(n=0, latch=latch))
            await states.until_open([first], State.DEAD)
            # then its slot is free for the next one
            await (await client.enqueue(Brief(n=1))).result(timeout="30s")
            await worker.until_figure("streams_abandoned_threads", 1)
            # and when one more does not return
            second = await client.enqueue(Stuck(n=2, latch=latch))
            await states.until_open([second], State.DEAD)
            await worker.until_figure("streams_threads_abandoned_total", 2)
            # then functions wait, coroutines do not, and the worker says why
            waits = await client.enqueue(Brief(n=3))
            await (await client.enqueue(Quick(n=4))).result(timeout="30s")
            assert (await waits.status()).state is State.QUEUED
            status, body = await asyncio.to_thread(get, f"http://127.0.0.1:{port}/health")
            assert status == 503
            (problem,) = body["problems"]
            said = "threads that go on though their attempts are over: {}, and"
            assert problem.startswith(said.format(2))
            assert said.format(1) in worker.log
            # until one returns
            Path(latch).touch()  # noqa: ASYNC240
            await waits.result(timeout="30s")
            # and what never returns does not hold the end
            await client.enqueue(Stuck(n=5, latch=f"{latch}-never"))
            await fleet.until_each("start", "stuck", {5})
        started = time.monotonic()
        assert worker.stop() == 0, worker.log
        assert time.monotonic() - started < 15


async def test_what_waited_longer_than_it_is_worth_is_expired_and_counted(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, PARTITIONS, queues=("default",))
    states = States(kafka, prefix, PARTITIONS)
    settings = {**HANDLERS, "STREAMS_PARTITIONS": str(PARTITIONS)}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given jobs that are worth little time, and others, when no worker is there
            late = [await client.enqueue(Quick(n=n), expires="1ms") for n in range(8)]
            others = [await client.enqueue(Quick(n=n)) for n in range(8)]
            # when two workers come
            workers = [fleet.start(name, STREAMS_WEB_PORT=str(free_port())) for name in ("a", "b")]
            ledger = await states.until_over([*late, *others])
            # then the one kind has ended without a start, and the other kind was not held up
            for handle in late:
                assert ledger[handle.id].state is State.EXPIRED
                assert ledger[handle.id].attempts == 0
            for handle in others:
                assert ledger[handle.id].state is State.COMPLETED
            expired = r'streams_jobs_total\{[^}]*outcome="expired"[^}]*\}'
            figures = [await asyncio.to_thread(worker.figure, expired) for worker in workers]
            assert sum(figures) == len(late)
        for worker in fleet.running:
            assert worker.stop() == 0, worker.log


async def test_a_handler_that_blocks_the_loop_is_named(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, queues=("default",))
    port = str(free_port())
    with Fleet(kafka, prefix, tmp_path, **HANDLERS, STREAMS_WEB_PORT=port) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            worker = fleet.start("a")
            await (await client.enqueue(Blocker(n=0))).result(timeout="60s")
            await worker.until_figure("streams_loop_blocked_total", 1)
            assert "handler blocker (job " in worker.log
            assert "execution_handlers.py:" in worker.log
        assert worker.stop() == 0, worker.log


def get(url: str) -> tuple[int, dict[str, list[str]]]:
    """An answer of the worker's web server, whatever its status."""
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())
