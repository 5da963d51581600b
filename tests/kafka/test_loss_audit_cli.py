"""`streams audit` on a real Kafka: silent while all goes on, and loud about one job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from audit_handlers import Mixed, Swift, Untold
from bulk import append_all, job, opened_log
from cli_process import Cli, Said
from fleet import Worker
from topics import create_topics, read_all

from streams.audit.fault import ENTRY_GONE
from streams.client import Handle, JobClient
from streams.dev.ports import free_port
from streams.wire.admin import open_admin
from streams.wire.topics import TopicNames
from streams.worker.ports import Append

PATIENCE_S = 120
OVER = ("completed", "cancelled", "discarded", "expired")


class _Auditor:
    """`streams audit` with a checkpoint of its own."""

    def __init__(self, kafka: str, prefix: str, folder: Path, patience_s: float = 60) -> None:
        self._cli = Cli(kafka, prefix, "audit_handlers", patience_s=patience_s)
        self._checkpoint = str(folder / "checkpoint")

    async def __call__(self, *options: str, stdin: str = "") -> Said:
        given = ("audit", "--json", "--checkpoint", self._checkpoint, *options)
        return await self._cli.run(*given, stdin=stdin)

    async def until_over(self, accepted: int, timeout_s: float = PATIENCE_S) -> Said:
        """Audit again and again, until all that was accepted is over; each must be silent."""
        limit = time.monotonic() + timeout_s
        while True:
            said = await self()
            assert said.code == 0, said
            if said.json["accepted"] >= accepted and not said.json["pending"]:
                return said
            assert time.monotonic() < limit, said


def _worker(kafka: str, prefix: str, folder: Path, **more: str) -> Worker:
    variables = {"STREAMS_LOG_LEVEL": "error", "STREAMS_WEB_PORT": str(free_port()), **more}
    return Worker(kafka, prefix, folder, name="w", handlers="audit_handlers", **variables)


async def _enqueue(jobs: JobClient, count: int) -> tuple[list[Handle], int]:
    """So many jobs, some of them twice; and how many copies."""
    handles: list[Handle] = []
    for first in range(0, count, 5_000):
        numbers = range(first, min(first + 5_000, count))
        handles += await jobs.enqueue_many(_payload(n) for n in numbers)
    ids = [handle.id for handle in handles]
    copies = ids[::50]
    for at in range(0, len(copies), 500):
        numbers = range(at * 50, min((at + 500) * 50, count), 50)
        await asyncio.gather(*(jobs.enqueue(_payload(n), id=ids[n]) for n in numbers))
    return handles, len(copies)


def _payload(n: int) -> Mixed | Swift:
    return Mixed(account=n % 500, n=n) if n % 3 else Swift(n=n)


async def test_it_is_silent_about_all_that_can_happen_to_jobs(
    kafka: str, prefix: str, tmp_path: Path
):
    # given 20,000 jobs: some fail, are discarded or dead, come twice, are delayed or cancelled
    audit = _Auditor(kafka, prefix, tmp_path)
    await create_topics(kafka, prefix)
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:
        handles, copies = await _enqueue(jobs, 20_000)
        ids, first = [handle.id for handle in handles], handles[1_000]
        delayed = [
            await jobs.enqueue(Mixed(account=n, n=20_000 + n), delay="2s") for n in range(200)
        ]
        cancelled = [await jobs.enqueue(Swift(n=n), delay="1h") for n in range(100)]
        unrecorded = await jobs.enqueue_many(Untold(n=n) for n in range(300))
        with _worker(kafka, prefix, tmp_path, STREAMS_CONCURRENCY="20") as worker:
            # when the worker is killed in the middle of it, and audits run all the time
            await first.result(timeout="60s")
            worker.kill()
            await asyncio.gather(*(handle.cancel() for handle in cancelled))
            said = await audit()
            assert said.code == 0, said
            assert said.json["pending"] > 1_000
            worker.start()
            expected = 20_000 + len(delayed) + len(cancelled) + len(unrecorded)
            said = await audit.until_over(expected)
            counted = {
                state: worker.figure(rf'streams_audit_jobs\{{[^}}]*state="{state}"\}}')
                for state in (*OVER, "accepted", "dead", "pending", "unrecorded")
            }
            unaccounted = worker.figure("streams_audit_unaccounted")
            assert worker.stop() == 0, worker.log
    # then it has accounted for every one of them
    told = said.json
    assert told["accepted"] == expected
    assert told["duplicates"] == copies
    assert told["cancelled"] == 100
    assert told["unrecorded"] == 300
    dead = [n for n in range(20_200) if (n >= 20_000 or n % 3) and n % 100 == 3]
    assert told["dead"] == len(dead)
    assert sum(told[state] for state in OVER) + told["dead"] + told["unrecorded"] == expected
    # and what the worker has counted is the same, across its end
    assert unaccounted == 0
    assert counted == {state: told[state] for state in counted}
    # and from the beginning it says the same, also about what a client was told
    ids += [handle.id for handle in (*delayed, *cancelled)]
    again = await audit("--full", "--accepted", "-", stdin="\n".join(ids))
    assert again.code == 0, again
    assert {**again.json, "told": 0} == {**told, "told": 0}
    assert again.json["told"] == 20_300


@asynccontextmanager
async def _audited(kafka: str, prefix: str, folder: Path) -> AsyncIterator[_Auditor]:
    """A thousand jobs that are over, some that are scheduled, and a worker that has stopped."""
    audit = _Auditor(kafka, prefix, folder)
    await create_topics(kafka, prefix)
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:
        with _worker(kafka, prefix, folder) as worker:
            await jobs.enqueue_many(Swift(n=n) for n in range(1_000))
            later = [await jobs.enqueue(Swift(n=n), delay="1h", id=f"later-{n}") for n in range(9)]
            await later[-1].status()
            limit = time.monotonic() + PATIENCE_S
            while True:
                said = await audit("--full")
                assert said.code == 0, said
                if said.json["completed"] == 1_000 and said.json["pending_by_state"] == {
                    "scheduled": 9
                }:
                    break
                assert time.monotonic() < limit, said
            assert worker.stop() == 0, worker.log
    yield audit


async def _write(kafka: str, records: Sequence[Append]) -> None:
    async with opened_log(kafka) as log:
        await append_all(log, records)


async def _both(audit: _Auditor) -> list[Said]:
    """An audit that goes on from the last one, and one from the beginning; in this order."""
    return [await audit(), await audit("--checkpoint", str(Path(audit._checkpoint + "-2")))]


def _told(said: Said) -> list[tuple[str, str]]:
    return [(fault["id"], fault["why"]) for fault in said.json["faults"]]


async def _endings(kafka: str, prefix: str) -> list[Any]:
    """The records of the ledger that are about jobs."""
    records = await read_all(kafka, TopicNames(prefix).ledger("default"))
    return [record for record in records if record.key[:1] != b"#"]


async def test_it_tells_which_job_was_removed_from_the_ledger(
    kafka: str, prefix: str, tmp_path: Path
):
    async with _audited(kafka, prefix, tmp_path) as audit:
        victim = (await _endings(kafka, prefix))[500]
        await _write(kafka, [Append(victim.topic, victim.partition, victim.key, None)])
        for said in await _both(audit):
            id_ = orjson.loads(victim.key)[2]
            assert said.code == 1
            assert _told(said) == [
                (id_, "removed from the ledger topic before it was old enough")
            ], said
            assert said.json["unaccounted"] == 1


async def test_it_tells_which_job_was_removed_from_the_retry_topic(
    kafka: str, prefix: str, tmp_path: Path
):
    async with _audited(kafka, prefix, tmp_path) as audit:
        records = await read_all(kafka, TopicNames(prefix).retry("default"))
        victim = next(r for r in records if b"later-5" in r.key)
        await _write(kafka, [Append(victim.topic, victim.partition, victim.key, None)])
        for said in await _both(audit):
            assert said.code == 1
            assert _told(said) == [
                (
                    "later-5",
                    "its entry was removed from the retry topic, and the ledger does not have it",
                )
            ]


async def test_it_tells_which_job_was_settled_twice(kafka: str, prefix: str, tmp_path: Path):
    async with _audited(kafka, prefix, tmp_path) as audit:
        victim = (await _endings(kafka, prefix))[300]
        again = orjson.dumps({**orjson.loads(victim.value), "state": "discarded"})
        await _write(kafka, [Append(victim.topic, victim.partition, victim.key, again)])
        for said in await _both(audit):
            assert said.code == 1
            assert _told(said) == [(orjson.loads(victim.key)[2], "settled twice, differently")]


async def test_it_tells_which_job_was_removed_from_its_queue(
    kafka: str, prefix: str, tmp_path: Path
):
    async with _audited(kafka, prefix, tmp_path) as audit:
        topic = TopicNames(prefix).queue("default")
        # given a job that the last audit has seen waiting, as no worker runs
        async with JobClient(kafka, source="test", prefix=prefix) as jobs:
            lost = await jobs.enqueue(Swift(n=1), id="lost")
        assert (await audit()).json["pending_by_state"] == {"scheduled": 9, "queued": 1}
        victim = next(r for r in await read_all(kafka, topic) if r.key == b"lost")
        async with open_admin(kafka) as admin:
            place = TopicPartition(topic, victim.partition)
            await admin.delete_records({place: RecordsToDelete(before_offset=victim.offset + 1)})
        since, full = await _both(audit)
        # then the audit that knew of it tells the job, and any audit where it was
        assert since.code == full.code == 1
        why = "removed from the queue topic before it was taken over or settled"
        assert ("lost", why) in _told(since)
        assert [(x["partition"], x["offset"]) for x in full.json["faults"]] == [
            (victim.partition, victim.offset)
        ]
        # and also once a worker has gone past that
        with _worker(kafka, prefix, tmp_path) as worker:
            async with JobClient(kafka, source="test", prefix=prefix) as jobs:
                handles = await jobs.enqueue_many(Swift(n=n) for n in range(20))
                for handle in handles:
                    await handle.result(timeout="60s")
            assert worker.stop() == 0, worker.log
        later = await audit()
        assert ("lost", why) in _told(later)
        # and an audit that knew nothing of it, if it is given the ids
        told = await audit("--full", "--accepted", "-", stdin=f"later-1\n{lost.id}\n")
        assert told.code == 1
        assert _told(told)[-1] == (
            "lost",
            "a client was told that it is accepted, and no topic knows it",
        )


@pytest.mark.long
@pytest.mark.timeout(3_000)
async def test_it_is_silent_about_a_million_jobs(kafka: str, prefix: str, tmp_path: Path):
    # given a million jobs, and audits while they run
    audit = _Auditor(kafka, prefix, tmp_path, patience_s=600)
    names = TopicNames(prefix)
    await create_topics(kafka, prefix)
    payload = Swift(n=1)
    async with opened_log(kafka) as log:
        await append_all(log, (job(names, payload, f"j{n}") for n in range(1_000_000)))
    with _worker(kafka, prefix, tmp_path) as worker:
        said = await audit.until_over(1_000_000, 1_800)
        assert worker.stop() == 0, worker.log
    # then each of them is accounted for, from the beginning, too
    assert said.json["completed"] == said.json["accepted"] == 1_000_000
    again = await audit("--full")
    assert (again.code, again.json["completed"], again.json["faults"]) == (0, 1_000_000, [])


async def test_it_tells_which_jobs_retention_took_until_that_is_acknowledged(
    kafka: str, prefix: str, tmp_path: Path
):
    async with _audited(kafka, prefix, tmp_path) as audit:
        retry = TopicNames(prefix).retry("default")
        victim = next(r for r in await read_all(kafka, retry) if b"later-5" in r.key)
        # given that somebody lets it be deleted from, which a broker refuses otherwise
        async with open_admin(kafka) as admin:
            policy = {"cleanup.policy": "compact,delete"}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, retry, policy)])
            place = TopicPartition(retry, victim.partition)
            await admin.delete_records({place: RecordsToDelete(before_offset=victim.offset + 1)})
        trimmed = ("", "the retry topic was trimmed, and nothing of ours does that")
        since, full = await _both(audit)
        # then the audit that knew them tells the jobs, and any audit that this has happened
        assert since.code == full.code == 1
        assert ("later-5", ENTRY_GONE) in _told(since)
        assert {why for _, why in _told(since)} == {ENTRY_GONE, trimmed[1]}
        assert trimmed in _told(full)
        # and who takes note of it is not told again
        assert (await audit("--acknowledge")).code == 1
        last = await audit()
        assert (last.code, last.json["faults"]) == (0, [])
        assert last.json["acknowledged"] == len(_told(since)) - 1
