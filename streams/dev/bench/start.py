"""start: a worker that has its state on disk, from its start to its first job."""

from __future__ import annotations

import time
from typing import Final

from streams.dev.bench import handlers
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.drain import drain_queue, fill_queue
from streams.dev.bench.recount import ends_of
from streams.dev.bench.stage import Stage


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: so many jobs are over and on disk; then one more comes, and the worker starts."""
    ground = stage.ground()
    await ground.make_topics()
    name = handlers.Timed.__job_name__
    stage.tell(f"a worker leaves the state of {jobs:,} jobs on its disk")
    await drain_queue(stage, ground, await fill_queue(ground, name, jobs))
    since = await ends_of(ground.bootstrap, ground.names.ledger(handlers.QUEUE))
    one = await fill_queue(ground, name, 1, first=jobs)
    stage.tell("starting it again")
    began = time.time_ns()
    ledger, _ = await drain_queue(stage, ground, one, since=since)
    (started,) = ledger.results.values()
    return {"warm_seconds": (started - began) / 1e9}


BENCH: Final = Bench(
    name="start",
    how=(
        "From the start of a worker's process, whose state is on its disk and whose topics have "
        "one more job, to the first line of that job's handler."
    ),
    jobs=10_000,
    rounds=3,
    run=run,
)
