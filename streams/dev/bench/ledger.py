"""ledger: as drain, with a ledger full of ids and a table full of jobs that wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streams.client_request import now_ms
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.drain import drain_queue, fill_queue
from streams.dev.bench.memory import peak_mb
from streams.dev.bench.recount import Offsets, ends_of
from streams.dev.bench.recovery import account_places, scheduled_entries
from streams.dev.bench.stage import Ground, Stage
from streams.dev.bench.statistics import window_of
from streams.dev.bench.worker import BenchProcess
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.state import AttemptRecord, LedgerRecord, encode_ledger

_DRAINED: Final = 100_000  # jobs, at most
_RECOVERED_S: Final = 900.0


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: the drain rate with nothing, then with `jobs` ids and a tenth as many waiting."""
    drained = min(jobs, _DRAINED)
    none = await _drain(stage, stage.ground(), drained, {})
    ground = stage.ground()
    ledger, waiting = jobs, max(1, jobs // 10)
    await ground.make_topics()
    stage.tell(f"filling the ledger with {ledger:,} ids, the retry topic with {waiting:,} entries")
    topic = ground.names.ledger(handlers.QUEUE)
    await load.fill(ground.bootstrap, topic, _ledger_records(ledger))
    first = ledger  # numbers from here on are new
    entries = scheduled_entries(ground, waiting, first=first)
    await load.fill(ground.bootstrap, ground.names.retry(handlers.QUEUE), entries)
    stage.tell("a worker recovers them")
    with ground.worker() as worker:
        recovered = await worker.ready(_RECOVERED_S)
        await worker.stop()
    since = await ends_of(ground.bootstrap, topic)
    peak: list[float] = []
    full = await _drain(stage, ground, drained, since, first + waiting, peak)
    return {
        "ratio": full / none,
        "rss_mb": peak[0],
        "jobs_per_second": full,
        "empty_per_second": none,
        "ids": ledger,
        "waiting": waiting,
        "recovered_seconds": recovered,
    }


async def _drain(
    stage: Stage,
    ground: Ground,
    jobs: int,
    since: Offsets,
    first: int = 0,
    peak: list[float] | None = None,
) -> float:
    """The rate; the worker's memory at its highest goes into `peak`."""
    if not since:
        await ground.make_topics()
    stage.tell(f"draining {jobs:,} jobs")
    expected = await fill_queue(ground, handlers.Noop.__job_name__, jobs, first=first)

    def watch(worker: BenchProcess) -> None:
        if peak is not None:
            peak.append(peak_mb(worker.pid))

    ledger, _ = await drain_queue(stage, ground, expected, since=since or None, watch=watch)
    return window_of(ledger.stamps).per_second


def _ledger_records(count: int) -> Iterator[load.Placed]:
    """What jobs leave that completed at their first attempt, a moment ago."""
    name, now = handlers.Noop.__job_name__, now_ms()
    places = account_places()
    attempt = AttemptRecord(attempt=1, started=now, ended=now, worker="w-1", outcome="completed")
    for n in range(count):
        account = n % load.KEYS
        record = LedgerRecord(
            job=JobKey(name=name, ordering_key=f"{name}:{account}", id=load.id_of(n)),
            state=State.COMPLETED,
            time=now,
            generation=0,
            run=0,
            attempts=1,
            ended=now,
            history=(attempt,),
        )
        yield places[account], (*encode_ledger(record), [])


BENCH: Final = Bench(
    name="ledger",
    how=(
        "As drain, with so many ids in the ledger and a tenth as many scheduled jobs in the open "
        "table, all on the worker's disk since an earlier start; ratio is this rate to that of a "
        "worker with nothing. rss_mb is the most memory that the worker had in use. Takes about "
        "ten minutes with 10 million ids."
    ),
    jobs=10_000_000,
    rounds=1,
    run=run,
)
