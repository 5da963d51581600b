"""priority: how long an urgent job waits for its start, alone and beside a long backlog."""

from __future__ import annotations

import asyncio
from typing import Final

from streams.client_request import now_ms
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.latency import waits_ms
from streams.dev.bench.pace import send_paced
from streams.dev.bench.recount import recount, wait_for_records
from streams.dev.bench.stage import PARTITIONS, Ground, Stage
from streams.dev.bench.statistics import percentile
from streams.dev.bench.worker import BenchWorker

_URGENT: Final = "critical"
_BACKLOG: Final = "bulk"
_PER_SECOND: Final = 100.0
_JOBS: Final = 1_000
_UNDER_WAY: Final = 20_000  # of the backlog, before urgent jobs come


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: urgent jobs on a worker that has nothing else to do, then beside a backlog."""
    ground = stage.ground()
    await ground.make_topics()
    expected: dict[str, int] = {}
    with ground.worker() as worker:
        await worker.ready()
        alone = await _send_urgent(stage, ground, worker, expected)
        await worker.stop()
    stage.tell(f"filling {_BACKLOG} with {jobs:,} jobs")
    now, name = now_ms(), handlers.Noop.__job_name__
    backlog = (load.job_envelope(name, _BACKLOG, n, now) for n in range(jobs))
    topic = ground.names.queue(_BACKLOG)
    await load.fill(ground.bootstrap, topic, load.placed(backlog, PARTITIONS))
    with ground.worker() as worker:
        done = ground.names.ledger(_BACKLOG)
        await wait_for_records(ground.bootstrap, done, min(jobs, _UNDER_WAY), worker.check)
        beside = await _send_urgent(stage, ground, worker, expected)
        await worker.stop()
    ledger = await recount(ground, _URGENT, expected)
    return {
        "alone": _figures(alone, ledger.results),
        "beside": _figures(beside, ledger.results),
    }


_Sent = tuple[list[str], list[int]]  # ids, and when each was to be sent


async def _send_urgent(
    stage: Stage, ground: Ground, worker: BenchWorker, expected: dict[str, int]
) -> _Sent:
    await asyncio.sleep(1)
    stage.tell(f"{_JOBS:,} urgent jobs at {_PER_SECOND:,.0f} a second")
    numbers = range(len(expected), len(expected) + _JOBS)
    name, now = handlers.Timed.__job_name__, now_ms()
    envelopes = (load.job_envelope(name, _URGENT, n, now) for n in numbers)
    ids = {load.id_of(n): n for n in numbers}
    expected.update(ids)
    topic = ground.names.queue(_URGENT)
    records = list(load.placed(envelopes, PARTITIONS))
    paced = await send_paced(ground.bootstrap, topic, records, _PER_SECOND)
    done = ground.names.ledger(_URGENT)
    await wait_for_records(ground.bootstrap, done, len(expected), worker.check)
    return list(ids), paced.planned


def _figures(sent: _Sent, started: dict[str, object]) -> Figures:
    waits = waits_ms(*sent, started)
    return {
        "p50_ms": percentile(waits, 50),
        "p99_ms": percentile(waits, 99),
        "max_ms": max(waits),
    }


BENCH: Final = Bench(
    name="priority",
    how=(
        "Urgent jobs are sent at 100 a second by a plan that waits for nothing, to a worker that "
        "is idle, and to one that works on a backlog of no-op jobs in a queue of the lowest "
        "weight. Measured is the time from when each was to be sent to the first line of its "
        "handler; the first second is left out. Sender, broker and worker share this machine."
    ),
    jobs=1_000_000,
    rounds=1,
    run=run,
)
