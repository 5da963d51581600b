"""hot: as drain, with jobs that all have one key and so run one after the other."""

from __future__ import annotations

from typing import Final

from streams.dev.bench import handlers
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.drain import drain_queue, fill_queue
from streams.dev.bench.stage import Stage
from streams.dev.bench.statistics import window_of


async def run(stage: Stage, jobs: int) -> Figures:
    """One round."""
    ground = stage.ground()
    await ground.make_topics()
    stage.tell(f"filling the queue with {jobs:,} jobs of one key")
    expected = await fill_queue(ground, handlers.Noop.__job_name__, jobs, keys=1)
    stage.tell("draining it")
    ledger, cpu = await drain_queue(stage, ground, expected)
    window = window_of(ledger.stamps)
    return {"jobs_per_second": window.per_second, "cpu_us_per_job": cpu.us_per_record(window)}


BENCH: Final = Bench(
    name="hot",
    how="As drain, with jobs that all have the same ordering key: each waits for the one before.",
    jobs=60_000,
    rounds=1,
    run=run,
)
