"""unordered: as drain, with jobs that have no key and leave no record when they complete."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from aiokafka.errors import GroupCoordinatorNotAvailableError

from streams.client_request import now_ms
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.cpu import CpuSampler
from streams.dev.bench.recount import is_job, records_of, uncommitted
from streams.dev.bench.stage import PARTITIONS, Ground, Stage
from streams.dev.bench.statistics import Window
from streams.worker.tables import COMMITTED

_EVERY: Final = 0.1  # seconds between two looks at what is acknowledged
_STUCK_S: Final = 30.0  # without anything new
Commits = Mapping[int, list[tuple[int, int]]]  # by partition: (timestamp, offset), in order


async def run(stage: Stage, jobs: int) -> Figures:
    """One round."""
    ground = stage.ground()
    await ground.make_topics()
    stage.tell(f"filling the queue with {jobs:,} jobs")
    await _fill(ground, jobs)
    stage.tell("draining it")
    with ground.worker() as worker:
        async with CpuSampler(worker.pid) as cpu:
            await _wait_until_acknowledged(ground, jobs, worker.check)
        await worker.stop()
    window = await _recount(ground)
    return {"jobs_per_second": window.per_second, "cpu_us_per_job": cpu.us_per_record(window)}


def window_of_commits(commits: Commits) -> Window:
    """From the first commit that any partition kept to the last one; pure.

    What the first one of each partition acknowledged was done before the window began.
    """
    stamps = [stamp for kept in commits.values() for stamp, _ in kept]
    records = sum(kept[-1][1] - kept[0][1] for kept in commits.values())
    return Window(first=min(stamps), last=max(stamps), records=records)


async def _fill(ground: Ground, jobs: int) -> None:
    now = now_ms()
    name = handlers.Unordered.__job_name__
    envelopes = (load.job_envelope(name, handlers.QUEUE, n, now, keys=0) for n in range(jobs))
    topic = ground.names.queue(handlers.QUEUE)
    await load.fill(ground.bootstrap, topic, load.placed(envelopes, PARTITIONS))


async def _wait_until_acknowledged(ground: Ground, jobs: int, check: Callable[[], None]) -> None:
    topic = ground.names.queue(handlers.QUEUE)
    left, since = jobs, time.monotonic()
    while left:
        check()
        with suppress(GroupCoordinatorNotAvailableError):  # a broker's first group
            now = await uncommitted(ground, topic)
            if now < left:
                left, since = now, time.monotonic()
        if time.monotonic() - since > _STUCK_S:
            raise BenchFailed(f"{left} of {jobs} jobs are not acknowledged, and no more are")
        await asyncio.sleep(_EVERY)


async def _recount(ground: Ground) -> Window:
    """What the topics say of it: commits in the retry topic, and nothing of any job.

    Raises:
        BenchFailed: they do not add up.
    """
    commits: dict[int, list[tuple[int, int]]] = defaultdict(list)
    async for record in records_of(ground.bootstrap, ground.names.retry(handlers.QUEUE)):
        if record.key == COMMITTED:
            commits[record.partition].append((record.timestamp, int(record.value)))
        elif is_job(record.key):
            raise BenchFailed("a job was opened that completed at once")
    async for record in records_of(ground.bootstrap, ground.names.ledger(handlers.QUEUE)):
        if is_job(record.key):
            raise BenchFailed("a job left a record in the ledger")
    if left := await uncommitted(ground, ground.names.queue(handlers.QUEUE)):
        raise BenchFailed(f"{left} records are not acknowledged")
    return window_of_commits(commits)


BENCH: Final = Bench(
    name="unordered",
    how=(
        "As drain, with jobs without a key and ledger=False. Counted is what each partition "
        "acknowledged between the first commit and the last one that are kept in the retry topic, "
        "by the broker's timestamps; they are kept every 500 ms, and after the last job."
    ),
    jobs=150_000,
    rounds=1,
    run=run,
)
