"""drain: a full queue, handlers that do nothing, and the same with plain Faust beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from streams.client_request import now_ms
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.cpu import CpuSampler
from streams.dev.bench.recount import Ledger, Offsets, records_of, recount, wait_for_records
from streams.dev.bench.stage import PARTITIONS, Ground, Stage
from streams.dev.bench.statistics import Window, window_of
from streams.dev.bench.worker import BenchProcess

PLAIN_FAUST: Final = Path(__file__).parents[3] / "tests" / "bench" / "plain_faust.py"
_PLAIN_EVENTS: Final = 20_000  # its rate is steady: more would only take longer


async def fill_queue(
    ground: Ground, name: str, count: int, *, first: int = 0, keys: int = load.KEYS
) -> dict[str, int]:
    """Put jobs of one kind into the queue, from number `first` on; their ids, numbered in order."""
    now = now_ms()
    numbers = range(first, first + count)
    envelopes = (load.job_envelope(name, handlers.QUEUE, n, now, keys=keys) for n in numbers)
    topic = ground.names.queue(handlers.QUEUE)
    await load.fill(ground.bootstrap, topic, load.placed(envelopes, PARTITIONS))
    return {load.id_of(n): n for n in numbers}


async def drain_queue(
    stage: Stage,
    ground: Ground,
    expected: dict[str, int],
    *,
    since: Offsets | None = None,
    watch: Callable[[BenchProcess], Any] = lambda worker: None,
    worker: BenchProcess | None = None,
    **settings: str,
) -> tuple[Ledger, CpuSampler]:
    """Start a worker on a full queue, let it finish everything, and recount what it left.

    `since` is where the ledger ended before; `watch` is called before the worker is stopped.
    """
    with worker or ground.worker(**settings) as worker:
        async with CpuSampler(worker.pid) as cpu:
            await wait_for_records(
                ground.bootstrap,
                ground.names.ledger(handlers.QUEUE),
                len(expected),
                worker.check,
                tell=stage.tell,
                since=since,
            )
        watch(worker)
        await worker.stop()
    try:
        return await recount(ground, handlers.QUEUE, expected, since), cpu
    except BenchFailed as error:
        raise BenchFailed(f"{error}; the worker said last:\n{worker.said}") from error


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: the engine, then plain Faust on the same records."""
    ground = stage.ground()
    changelog = ground.changelog(f"{ground.prefix}plain-ledger-changelog")
    await ground.make_topics(others=[changelog])
    stage.tell(f"filling the queue with {jobs:,} jobs")
    expected = await fill_queue(ground, handlers.Noop.__job_name__, jobs)
    stage.tell("draining it")
    ledger, cpu = await drain_queue(stage, ground, expected)
    window = window_of(ledger.stamps)
    plain = await _plain_faust(stage, ground, changelog.name, min(jobs, _PLAIN_EVENTS))
    rate = None if plain is None else plain.per_second
    return {
        "jobs_per_second": window.per_second,
        "plain_faust_per_second": rate,
        "ratio": None if rate is None else window.per_second / rate,
        "cpu_us_per_job": cpu.us_per_record(window),
    }


async def _plain_faust(stage: Stage, ground: Ground, changelog: str, events: int) -> Window | None:
    """The window of plain Faust's first `events` table writes; None without its script."""
    if not PLAIN_FAUST.exists():
        stage.tell("plain Faust is left out: its script is in the repository only")
        return None
    stage.tell(f"the first {events:,} of them with plain Faust")
    environment = {
        **os.environ,
        "PLAIN_BROKER": ground.bootstrap,
        "PLAIN_TOPIC": ground.names.queue(handlers.QUEUE),
        "PLAIN_APP": f"{ground.prefix}plain",
        "PLAIN_DATA": str(ground.folder / "plain"),
    }
    command = [sys.executable, "-m", "faust", "-A", "plain_faust", "worker", "-l", "warn"]
    log = ground.folder / "plain.log"
    with BenchProcess(command, environment, log, cwd=PLAIN_FAUST.parent) as worker:
        await wait_for_records(ground.bootstrap, changelog, events, worker.check, tell=stage.tell)
    stamps: dict[int, int] = {}
    async for record in records_of(ground.bootstrap, changelog):
        stamps[record.timestamp] = stamps.get(record.timestamp, 0) + 1
    return window_of(stamps)


BENCH: Final = Bench(
    name="drain",
    how=(
        "The queue is full before the worker starts. Counted are the ledger records after the "
        "first broker timestamp, over the time from the first to the last one; the worker's CPU "
        "time (user and system, all threads) is taken between the same two moments."
    ),
    jobs=80_000,
    rounds=1,
    run=run,
)
