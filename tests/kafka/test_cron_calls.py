"""Schedules called over HTTP: a real server, real calls, real Kafka, and workers that run them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
from cli_process import STREAMS, Cli
from effects import lines, until
from topics import create_topics, read_all
from worker_process import WorkerProcess

from streams.cli import exits
from streams.dev.broker import LocalBroker
from streams.dev.ports import free_port
from streams.wire.topics import TopicNames

SECRET = "correct-horse-battery"
VERCEL = {"authorization": f"Bearer {SECRET}", "user-agent": "vercel-cron/1.0"}


class Server(WorkerProcess):
    """`streams cron serve`, on any free port."""

    command = (str(STREAMS), "cron", "serve", "--port", "0")

    async def address(self) -> str:
        """Where it listens, once it does."""
        await self.until_said("calls of schedules on ")
        found = re.search(r"(http://127\.0\.0\.1:\d+)/cron/NAME", self.log)
        assert found is not None
        return found[1]


@asynccontextmanager
async def served(
    kafka: str, prefix: str, folder: Path, handlers: str = "cron_handlers"
) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    server = Server(kafka, prefix, handlers, folder / "server", CRON_SECRET=SECRET)
    server.start()
    try:
        async with aiohttp.ClientSession(await server.address(), headers=VERCEL) as session:
            yield server, session
    finally:
        assert server.stop() == 0, server.log
        assert SECRET not in server.log


async def test_calls_at_once_are_one_job_and_that_is_the_tick_of_the_clock(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    cli = Cli(kafka, prefix, "cron_handlers")
    effects = tmp_path / "effects"
    worker = WorkerProcess(kafka, prefix, "cron_handlers", tmp_path, EFFECTS=str(effects))
    async with served(kafka, prefix, tmp_path) as (_, session):

        async def call(name: str, method: str = "GET") -> tuple[int, dict[str, str]]:
            async with session.request(method, f"/cron/{name}") as answer:
                return answer.status, await answer.json()

        # when twenty call at once, before any worker runs, and a worker starts then
        answers = await asyncio.gather(
            *(call("yearly", "GET" if n % 2 else "POST") for n in range(20))
        )
        with worker:
            # then all are told of one job, which runs once
            assert {status for status, _ in answers} == {202}
            (job_id,) = {body["jobId"] for _, body in answers}
            assert re.fullmatch(r"yearly:\d{4}-12-31T23:00:00Z", job_id)
            said = await cli.run("jobs", "wait", job_id, "--json")
            assert (said.code, said.json["state"]) == (exits.DONE, "completed"), said
            # and called again when it is over it does not run again
            assert await call("yearly") == (202, {"jobId": job_id})
            # when one that was added is called, then its own payload is run
            added = await cli.run("cron", "add", "dun", "0 0 1 1 *", "invoice", '{"account": 7}')
            assert added.code == exits.DONE, added
            status, body = await call("dun")
            assert status == 202
            said = await cli.run("jobs", "wait", body["jobId"], "--json")
            assert (said.json["name"], said.json["result"]) == ("invoice", 7)
            # and what is paused is not called, what is unknown not found
            assert (await cli.run("cron", "pause", "dun", "--reason", "a move")).code == exits.DONE
            assert await call("dun") == (409, {"error": "the schedule dun is paused: a move"})
            assert (await call("nobody"))[0] == 404
            assert (await call("yearly", "PUT"))[0] == 405
            async with session.get("/cron/yearly", headers={"authorization": "Bearer x"}) as no:
                assert no.status == 401
            done = await until(
                effects, lambda x: any(e[0] == "invoice" for e in x), worker_log(worker)
            )
        assert [each[0] for each in done] == ["yearly", "invoice"]
    # and the ledger has one record of each
    assert await ledger(kafka, prefix) == {job_id: 1, body["jobId"]: 1}


async def test_the_clock_and_its_callers_make_one_job_of_each_tick(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    # given a worker that enqueues two schedules each second, and calls for both all the time
    await create_topics(kafka, prefix)
    names = ("every", "pattern")
    effects = tmp_path / "effects"
    worker = WorkerProcess(kafka, prefix, "schedule_handlers", tmp_path, EFFECTS=str(effects))
    called: set[str] = set()
    async with served(kafka, prefix, tmp_path, "schedule_handlers") as (_, session):

        async def call(name: str) -> None:
            async with session.get(f"/cron/{name}") as answer:
                assert answer.status == 202
                called.add((await answer.json())["jobId"])

        with worker:
            while any(sum(id.startswith(name) for id in called) < 12 for name in names):
                await asyncio.gather(*(call(name) for name in names for _ in range(3)))
            # then there is one job of each tick
            async with asyncio.timeout(60):
                while not called <= set(counts := await ledger(kafka, prefix)):
                    await asyncio.sleep(0.1)
    assert set(counts.values()) == {1}
    ran = Counter((line[0], line[1]) for line in lines(effects))
    assert set(ran.values()) == {1}


async def ledger(kafka: str, prefix: str) -> Counter[str]:
    """How many records of jobs there are for each id."""
    records = [
        record
        for queue in ("default", "bulk")
        for record in await read_all(kafka, TopicNames(prefix).ledger(queue))
    ]
    return Counter(
        orjson.loads(record.key)[2]
        for record in records
        if record.value is not None and not record.key.startswith(b"#")
    )


def worker_log(worker: WorkerProcess) -> Callable[[], str]:
    return lambda: worker.log


async def test_a_broker_that_is_not_there_is_503_in_time_for_the_caller(
    prefix: str, tmp_path: Path
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    async with served(nobody, prefix, tmp_path) as (server, session):

        async def call() -> tuple[int, str]:
            timeout = aiohttp.ClientTimeout(total=5)
            async with session.get("/cron/yearly", timeout=timeout) as answer:
                return answer.status, answer.headers["retry-after"]

        assert set(await asyncio.gather(*(call() for _ in range(5)))) == {(503, "5")}
        assert "schedule 'yearly' was called, and not enqueued" in server.log


async def test_a_broker_that_stops_answering_is_503_until_it_answers_again(
    prefix: str, tmp_path: Path
) -> None:
    with LocalBroker(tmp_path / "broker", heap="256m") as broker:
        await create_topics(broker.bootstrap, prefix)
        async with served(broker.bootstrap, prefix, tmp_path) as (_, session):

            async def call() -> int:
                timeout = aiohttp.ClientTimeout(total=6)
                async with session.get("/cron/yearly", timeout=timeout) as answer:
                    return answer.status

            assert await call() == 202
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                assert await asyncio.gather(*(call() for _ in range(5))) == [503] * 5
                assert await call() == 503
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            async with asyncio.timeout(60):
                while await call() != 202:
                    pass


async def test_it_does_not_start_without_a_secret_or_a_port(kafka: str, prefix: str) -> None:
    cli = Cli(kafka, prefix, "cron_handlers")
    said = await cli.run("cron", "serve")
    assert said.code == exits.USAGE
    assert said.errors.startswith("streams: no CRON_SECRET is set")
