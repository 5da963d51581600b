"""Delayed jobs on real Kafka: never early, none lost, none settled twice, through kills."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import orjson
from delay_handlers import Later, Loose, now_ms
from fleet_of_two import PARTITIONS, fleet_to_start, start_two, two_workers
from topics import read_all

from streams.client import Handle

JOBS = 1_200
SPREAD_MS = 9_000
LEAD_MS = 10_000


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


async def endings(kafka: str, prefix: str) -> dict[str, list[str]]:
    """How each job ended, by id; more than one entry: it was settled more than once."""
    found: dict[str, list[str]] = {}
    for record in await read_all(kafka, f"{prefix}jobs.default.ledger", PARTITIONS):
        if record.value is not None and not record.key.startswith(b"#"):
            found.setdefault(orjson.loads(record.key)[2], []).append(
                orjson.loads(record.value)["state"]
            )
    return found


async def until_over(kafka: str, prefix: str, number: int) -> None:
    """Until so many jobs are over; their topic is the signal."""
    async with asyncio.timeout(90):
        while len(await endings(kafka, prefix)) < number:
            await asyncio.sleep(0.1)


async def test_kills_while_they_come_due(kafka: str, prefix: str, tmp_path: Path) -> None:
    async with two_workers(kafka, prefix, tmp_path, "delay_handlers") as (fleet, client):
        # given jobs that are due one after the other, of which some get another time or none
        first = now_ms() + LEAD_MS
        due = {n: first + n * SPREAD_MS // JOBS for n in range(JOBS)}
        cancelled, moved = set(range(100, JOBS, 40)), set(range(90, JOBS, 40))

        async def send(n: int) -> Handle:
            kind, delayed = Later if n % 2 else Loose, n in cancelled | moved
            when = at(first + 600_000 if delayed else due[n])
            return await client.enqueue(kind(account=n % 50, n=n), run_at=when)

        handles = dict(enumerate(await asyncio.gather(*map(send, range(JOBS)))))
        asked = [handles[n].reschedule(run_at=at(due[n])) for n in moved]
        asked += [handles[n].cancel("changed our mind") for n in cancelled]
        assert all(await asyncio.gather(*asked))
        # when workers are killed in the middle of it, one after the other
        for name, share in (("a", 0.3), ("b", 0.6)):
            await fleet.until(lambda found, most=share * JOBS: len(found) > most)
            fleet.workers[name].kill()
            fleet.start(name)
        # then each of the others runs, and no one early
        await fleet.until(
            lambda found: len({int(line[3]) for line in found}) == JOBS - len(cancelled)
        )
        await until_over(kafka, prefix, JOBS)
        early = [line for line in fleet.lines if int(line[4]) < due[int(line[3])]]
        assert not early
        assert not cancelled & {int(line[3]) for line in fleet.lines}
        ended = await endings(kafka, prefix)
        for n, handle in handles.items():
            assert ended[handle.id] == ["cancelled" if n in cancelled else "completed"]


async def test_an_outage_of_all_workers(kafka: str, prefix: str, tmp_path: Path) -> None:
    # Of a session of 6 s the lease is 2, which a busy machine may not keep: then jobs start again.
    session = {"STREAMS_SESSION_TIMEOUT": "10s"}
    opening = fleet_to_start(kafka, prefix, tmp_path, "delay_handlers", **session)
    async with opening as (fleet, client):
        start_two(fleet)
        # given jobs that were taken over, and all workers killed before they are due
        first = now_ms() + LEAD_MS
        sends = [client.enqueue(Loose(account=0, n=n), run_at=at(first + n)) for n in range(600)]
        handles = await asyncio.gather(*sends)
        while (await handles[-1].status()).due is None:
            await asyncio.sleep(0.05)
        for worker in fleet.running:
            worker.kill()
        while now_ms() < first + 2_000:
            await asyncio.sleep(0.05)
        assert not fleet.lines
        # when they are back
        start_two(fleet)
        now = [await client.enqueue(Loose(account=1, n=n), delay="1s") for n in range(600, 610)]
        await until_over(kafka, prefix, len(handles) + len(now))
        # then what was overdue ran in due order, within the partitions that a worker has
        order = [int(line[3]) for line in fleet.lines if int(line[3]) < 600]
        assert sorted(order) == list(range(600))
        for partition in range(PARTITIONS):
            of_it = [n for n in order if handles[n].partition == partition]
            assert of_it == sorted(of_it)
