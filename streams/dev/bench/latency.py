"""latency: from enqueue to start, at 200 jobs a second and at half of what a worker can do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.client_request import now_ms
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.cpu import cpu_seconds
from streams.dev.bench.drain import fill_queue
from streams.dev.bench.pace import Paced, send_paced
from streams.dev.bench.recount import is_job, records_of, recount, wait_for_records
from streams.dev.bench.stage import PARTITIONS, Ground, Stage
from streams.dev.bench.statistics import percentile, window_of
from streams.dev.bench.worker import BenchWorker

_LOW: Final = 200.0  # jobs a second
_LOW_JOBS: Final = 2_000
_HALF_S: Final = 8.0  # seconds at most, whatever the rate
_WARM_JOBS: Final = 30_000
_WARM_UP_NS: Final = 1_000_000_000  # of each phase, not counted
_REST_S: Final = 1.0


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: drain once to learn the rate, then the two phases on the same worker."""
    ground = stage.ground()
    await ground.make_topics()
    warm = min(_WARM_JOBS, jobs)
    expected = await fill_queue(ground, handlers.Noop.__job_name__, warm)
    with ground.worker() as worker:
        stage.tell(f"draining {warm:,} jobs, to learn the rate")
        await _wait(ground, worker, warm)
        half = await _drain_rate(ground) / 2
        low = await _phase(stage, ground, worker, expected, min(jobs, _LOW_JOBS), _LOW)
        most = max(1, int(half * _HALF_S))
        high = await _phase(stage, ground, worker, expected, min(jobs, most), half)
        await worker.stop()
    ledger = await recount(ground, handlers.QUEUE, expected)
    return {
        "low": _figures(low, ledger.results),
        "half": _figures(high, ledger.results),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    """Jobs that were sent at a rate."""

    per_second: float
    ids: list[str]
    paced: Paced
    worker_cpu_share: float | None  # of one core, while they were sent


async def _phase(
    stage: Stage,
    ground: Ground,
    worker: BenchWorker,
    expected: dict[str, int],
    count: int,
    per_second: float,
) -> _Phase:
    """Send so many jobs at a rate, and wait until they are over; their ids and times."""
    await asyncio.sleep(_REST_S)
    stage.tell(f"{count:,} jobs at {per_second:,.0f} a second")
    numbers = range(len(expected), len(expected) + count)
    began = now_ms()
    envelopes = (
        load.job_envelope(
            handlers.Timed.__job_name__,
            handlers.QUEUE,
            n,
            began + int((n - numbers[0]) * 1000 / per_second),
        )
        for n in numbers
    )
    records = list(load.placed(envelopes, PARTITIONS))
    topic = ground.names.queue(handlers.QUEUE)
    ids = {load.id_of(n): n for n in numbers}
    expected.update(ids)
    cpu, before = cpu_seconds(worker.pid), time.monotonic()
    paced = await send_paced(ground.bootstrap, topic, records, per_second)
    used, after = cpu_seconds(worker.pid), time.monotonic()
    share = None if cpu is None or used is None else (used - cpu) / (after - before)
    await _wait(ground, worker, len(expected))
    return _Phase(per_second=per_second, ids=list(ids), paced=paced, worker_cpu_share=share)


async def _wait(ground: Ground, worker: BenchWorker, count: int) -> None:
    ledger = ground.names.ledger(handlers.QUEUE)
    await wait_for_records(ground.bootstrap, ledger, count, worker.check)


async def _drain_rate(ground: Ground) -> float:
    stamps: dict[int, int] = {}
    async for record in records_of(ground.bootstrap, ground.names.ledger(handlers.QUEUE)):
        if is_job(record.key):
            stamps[record.timestamp] = stamps.get(record.timestamp, 0) + 1
    return window_of(stamps).per_second


def _figures(phase: _Phase, started: dict[str, Any]) -> Figures:
    waits = waits_ms(phase.ids, phase.paced.planned, started)
    return {
        "per_second": phase.per_second,
        "p50_ms": percentile(waits, 50),
        "p99_ms": percentile(waits, 99),
        "max_ms": max(waits),
        "worker_cpu_share": phase.worker_cpu_share,
        "generator_cpu_share": phase.paced.cpu_share,
        "generator_late_p99_ms": percentile(phase.paced.lags_ms, 99),
    }


def waits_ms(ids: Sequence[str], planned: Sequence[int], started: dict[str, Any]) -> list[float]:
    """From the time at which each job was to be enqueued to its start; without the warm-up. Pure.

    All of them count if the phase is no longer than its warm-up.
    """
    first = planned[0] + _WARM_UP_NS
    if planned[-1] <= first:
        first = planned[0]
    return [
        (started[id_] - when) / 1e6 for id_, when in zip(ids, planned, strict=True) if when >= first
    ]


BENCH: Final = Bench(
    name="latency",
    how=(
        "From the moment at which a job was to be sent, by a plan that waits for nothing, to the "
        "first line of its handler, by the clock of this machine; the first second of each phase "
        "is left out. half is half of what the same worker drained just before. The generator "
        "shares the cores: its part of one core and the worker's, and how late it was itself, are "
        "told."
    ),
    jobs=160_000,
    rounds=1,
    run=run,
)
