"""controls: what each flow control costs that holds nothing up, on a full queue of no-op jobs."""

from __future__ import annotations

from typing import Final

from streams.dev.bench import handlers
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.drain import drain_queue, fill_queue
from streams.dev.bench.stage import Stage
from streams.dev.bench.statistics import window_of


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: the same queue without a control, then with each."""
    rates = {}
    for control in handlers.CONTROLS:
        ground = stage.ground()
        await ground.make_topics()
        stage.tell(f"filling the queue with {jobs:,} jobs")
        expected = await fill_queue(ground, handlers.Noop.__job_name__, jobs)
        stage.tell(f"draining it with: {control}")
        ledger, _ = await drain_queue(stage, ground, expected, STREAMS_BENCH_CONTROL=control)
        rates[control] = window_of(ledger.stamps).per_second
    plain = rates.pop("none")
    return {
        "jobs_per_second": plain,
        "share": {control: rate / plain for control, rate in rates.items()},
    }


BENCH: Final = Bench(
    name="controls",
    how=(
        "As drain, once without a flow control and once with each, on a queue of its own. The "
        "share is the rate with it in parts of the rate without."
    ),
    jobs=60_000,
    rounds=1,
    run=run,
)
