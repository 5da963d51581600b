"""processes: as drain, with `streams worker --processes 2` beside one worker."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from streams.dev.bench import handlers
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.drain import drain_queue, fill_queue
from streams.dev.bench.stage import Ground, Stage
from streams.dev.bench.statistics import window_of
from streams.dev.bench.worker import FAUST, BenchWorker

_TWO: Final = (sys.executable, "-m", "streams", "worker", "--processes", "2")


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: one process, then two, each on a full queue of its own."""
    with stage.joined() as joined:
        one = await _measure(joined, jobs, FAUST)
        two = await _measure(joined, jobs, _TWO)
    return {"one_per_second": one, "two_per_second": two, "ratio": two / one}


async def _measure(stage: Stage, jobs: int, command: Sequence[str]) -> float:
    ground: Ground = stage.ground()
    await ground.make_topics()
    stage.tell(f"{jobs:,} jobs with `{' '.join(command[2:])}`")
    expected = await fill_queue(ground, handlers.Noop.__job_name__, jobs)
    worker = BenchWorker(ground.bootstrap, ground.prefix, ground.folder, command=command)
    ledger, _ = await drain_queue(stage, ground, expected, worker=worker)
    return window_of(ledger.stamps).per_second


BENCH: Final = Bench(
    name="processes",
    how=(
        "As drain, first with one worker and then with two that one supervisor started; ratio is "
        "two to one. A broker of its own waits for both before it assigns anything. Broker and "
        "workers share the cores: what the broker takes is not there for a second worker."
    ),
    jobs=60_000,
    rounds=1,
    run=run,
)
