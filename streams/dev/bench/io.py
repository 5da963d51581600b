"""io: handlers that await 10 ms, as for a database or another service."""

from __future__ import annotations

from typing import Final

from streams.dev.bench import handlers
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.drain import drain_queue, fill_queue
from streams.dev.bench.stage import Stage
from streams.dev.bench.statistics import window_of

_MANY: Final = 1_000
_DEFAULT: Final = 100  # what a worker has when it is told nothing


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: with 1,000 at a time, then half as many jobs with 100 at a time."""
    many, cpu = await _measure(stage, jobs, _MANY)
    few, _ = await _measure(stage, max(1, jobs // 2), _DEFAULT)
    return {"jobs_per_second": many, "at_100": few, "cpu_us_per_job": cpu}


async def _measure(stage: Stage, jobs: int, concurrency: int) -> tuple[float, float | None]:
    ground = stage.ground()
    await ground.make_topics()
    stage.tell(f"{jobs:,} jobs, {concurrency:,} at a time")
    expected = await fill_queue(ground, handlers.Wait.__job_name__, jobs)
    ledger, cpu = await drain_queue(stage, ground, expected, STREAMS_CONCURRENCY=str(concurrency))
    window = window_of(ledger.stamps)
    return window.per_second, cpu.us_per_record(window)


BENCH: Final = Bench(
    name="io",
    how=(
        "As drain, with handlers that await 10 ms: jobs_per_second and cpu_us_per_job with a "
        "concurrency of 1,000, at_100 with the default of 100 (which cannot pass 10,000)."
    ),
    jobs=50_000,
    rounds=1,
    run=run,
)
