"""enqueue: what one client gets rid of, acknowledged by the broker."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from streams.client import Handle, JobClient
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.recount import records_of
from streams.dev.bench.stage import Ground, Stage

_AT_A_TIME: Final = 100


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: `enqueue_many` of all, then half as many one by one."""
    ground = stage.ground()
    await ground.make_topics()
    payloads = [handlers.Noop(**load.fields_of(n)) for n in range(jobs)]
    async with JobClient(ground.bootstrap, source=load.SOURCE, prefix=ground.prefix) as client:
        await client.enqueue(payloads[0])  # the topic is known from here on
        stage.tell(f"enqueue_many of {jobs:,} jobs")
        bulk = await _timed(lambda: client.enqueue_many(payloads))
        some = payloads[: max(1, jobs // 2)]
        stage.tell(f"enqueue of {len(some):,} jobs, {_AT_A_TIME} at a time")
        single = await _timed(lambda: _one_by_one(client, some))
    await _recount(ground, 1, [*bulk.ids, *single.ids])
    return {
        "bulk_per_second": bulk.per_second,
        "single_per_second": single.per_second,
        "bulk_cpu_us_per_job": bulk.cpu_us,
        "single_cpu_us_per_job": single.cpu_us,
    }


class _Timed:
    """How long it took to send jobs, and how much of this process's CPU."""

    def __init__(self, handles: Iterable[Handle], seconds: float, cpu_seconds: float) -> None:
        self.ids = [handle.id for handle in handles]
        self.per_second = len(self.ids) / seconds
        self.cpu_us = cpu_seconds * 1e6 / len(self.ids)


async def _timed(send: Callable[[], Awaitable[list[Handle]]]) -> _Timed:
    cpu, began = time.process_time(), time.perf_counter()
    handles = await send()
    return _Timed(handles, time.perf_counter() - began, time.process_time() - cpu)


async def _one_by_one(client: JobClient, payloads: Iterable[handlers.Noop]) -> list[Handle]:
    waiting: Iterator[handlers.Noop] = iter(payloads)
    handles: list[Handle] = []

    async def sender() -> None:
        for payload in waiting:  # shared by all senders: each takes the next
            handles.append(await client.enqueue(payload))

    await asyncio.gather(*(sender() for _ in range(_AT_A_TIME)))
    return handles


async def _recount(ground: Ground, others: int, ids: list[str]) -> None:
    topic = ground.names.queue(handlers.QUEUE)
    found: Counter[str] = Counter()
    async for record in records_of(ground.bootstrap, topic):
        found[dict(record.headers)["ce_id"].decode()] += 1
    missing = [id_ for id_ in ids if found[id_] != 1]
    if missing or len(found) != len(ids) + others:
        raise BenchFailed(
            f"{len(ids)} jobs were acknowledged; {topic} has {len(found)} ids, "
            f"and {len(missing)} are not there exactly once"
        )


BENCH: Final = Bench(
    name="enqueue",
    how=(
        "One JobClient in one process on asyncio's own loop, which validates, writes and awaits "
        "the broker's acknowledgement of every job: bulk is one enqueue_many, single is "
        "enqueue, awaited, by 100 tasks. No worker runs. The queue is recounted."
    ),
    jobs=60_000,
    rounds=3,
    run=run,
)
