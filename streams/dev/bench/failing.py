"""failing: as drain, with jobs of which every second one fails, and is retried a second later."""

from __future__ import annotations

from collections import Counter
from typing import Final

from streams.dev.bench import handlers
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.drain import drain_queue, fill_queue
from streams.dev.bench.recount import is_job, records_of
from streams.dev.bench.stage import Ground, Stage
from streams.dev.bench.statistics import window_of


async def run(stage: Stage, jobs: int) -> Figures:
    """One round."""
    ground = stage.ground()
    await ground.make_topics()
    stage.tell(f"filling the queue with {jobs:,} jobs")
    expected = await fill_queue(ground, handlers.Failing.__job_name__, jobs)
    stage.tell("draining it")
    ledger, cpu = await drain_queue(stage, ground, expected)
    failed = sum(handlers.fails_first(n) for n in expected.values())
    retried = await _retried(ground)
    if retried < failed:
        raise BenchFailed(
            f"{failed} jobs were to fail, {retried} entries of the retry topic say so"
        )
    window = window_of(ledger.stamps)
    return {
        "jobs_per_second": window.per_second,
        "failed_share": failed / jobs,
        "cpu_us_per_job": cpu.us_per_record(window),
    }


async def _retried(ground: Ground) -> int:
    """How many jobs have been in the open table."""
    found: Counter[bytes] = Counter()
    async for record in records_of(ground.bootstrap, ground.names.retry(handlers.QUEUE)):
        if is_job(record.key) and record.value is not None:
            found[record.key] += 1
    return len(found)


BENCH: Final = Bench(
    name="failing",
    how=(
        "As drain, with strict jobs of which every second one of a key raises at its first attempt "
        "and is retried 1 s later; those of its key that come behind it wait. With 10,000 keys no "
        "worker could pass 20,000 a second."
    ),
    jobs=60_000,
    rounds=1,
    run=run,
)
