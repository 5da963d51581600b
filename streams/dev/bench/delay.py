"""delay: how late delayed jobs start, and what many of them cost a worker while they wait."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from streams.client_request import now_ms
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.memory import peak_mb, resident_mb
from streams.dev.bench.recount import recount, uncommitted, wait_for_records
from streams.dev.bench.stage import PARTITIONS, Ground, Stage
from streams.dev.bench.statistics import percentile
from streams.dev.bench.worker import BenchWorker

_SPREAD_MS: Final = 60_000
_LEAD_MS: Final = 5_000  # in which jobs are sent and taken over
_URGENT: Final = "critical"
_URGENT_SHARE: Final = 10  # one of so many that are due together is urgent
_YEAR_MS: Final = 365 * 24 * 3_600_000
_PARTS: Final = 10
_TAKEN_OVER_S: Final = 300.0
_QUIET_S: Final = 2.0
_AWAY_MS: Final = 5_000  # after which the worker has stopped
_LEFT: Final = 100  # jobs that come due meanwhile


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: many that wait, if asked for; jobs due over a minute; as many due together."""
    ground = stage.ground()
    await ground.make_topics()
    sent = _Sent()
    with ground.worker() as worker:
        await worker.ready()
        await asyncio.sleep(_QUIET_S)
        empty = resident_mb(worker.pid)
        waiting = await _let_wait(stage, ground, worker, stage.pending, empty)
        spread = await _spread(stage, ground, worker, sent, jobs)
        burst = await _burst(stage, ground, worker, sent, jobs)
        growth = peak_mb(worker.pid) - empty
        left = await _leave_due(ground, sent) if stage.pending else []
        await worker.stop()
    restarts = await _restarts(stage, ground, sent, left) if stage.pending else {}
    started = await _started(ground, sent)
    late = [(started[id_] - due * 1_000_000) / 1e6 for id_, due in spread.items()]
    return {
        "released": len(late),
        "early": sum(each < 0 for each in late),
        "p50_late_ms": percentile(late, 50),
        "p99_late_ms": percentile(late, 99),
        "max_late_ms": max(late),
        "rss_growth_mb": growth,
        "rss_empty_mb": empty,
        "together": _together(burst, started),
        **waiting,
        **{name: _after_restart(each, started, empty) for name, each in restarts.items()},
    }


@dataclass(slots=True)
class _Sent:
    """What was enqueued to run: the number of each id, by queue."""

    numbers: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def next(self) -> int:
        return sum(map(len, self.numbers.values()))

    def note(self, queue: str, number: int) -> None:
        self.numbers.setdefault(queue, {})[load.id_of(number)] = number


def _delayed(queue: str, number: int, due: int, *, name: str) -> load.Placed:
    envelope = replace(load.job_envelope(name, queue, number, now_ms()), not_before=due)
    (placed,) = load.placed([envelope], PARTITIONS)
    return placed


async def _send(
    ground: Ground, sent: _Sent, plan: Mapping[str, list[int]]
) -> dict[str, dict[str, int]]:
    """Enqueue jobs that are due at these times, by queue; the due time of each id, by queue."""
    due_at: dict[str, dict[str, int]] = {}
    for queue, dues in plan.items():
        records, first = [], sent.next
        for number, due in enumerate(dues, first):
            records.append(_delayed(queue, number, due, name=handlers.Timed.__job_name__))
            due_at.setdefault(queue, {})[load.id_of(number)] = due
        for number in range(first, first + len(dues)):
            sent.note(queue, number)
        await load.fill(ground.bootstrap, ground.names.queue(queue), records)
    return due_at


async def _wait(ground: Ground, worker: BenchWorker, sent: _Sent) -> None:
    for queue, numbers in sent.numbers.items():
        ledger = ground.names.ledger(queue)
        await wait_for_records(
            ground.bootstrap, ledger, len(numbers), worker.check, patience_s=_LEAD_MS / 1000 + 30
        )


async def _spread(
    stage: Stage, ground: Ground, worker: BenchWorker, sent: _Sent, jobs: int
) -> dict[str, int]:
    stage.tell(f"{jobs:,} jobs, due over a minute")
    first = now_ms() + _LEAD_MS
    dues = [first + n * _SPREAD_MS // jobs for n in range(jobs)]
    due_at = await _send(ground, sent, {handlers.QUEUE: dues})
    await _wait(ground, worker, sent)
    return due_at[handlers.QUEUE]


async def _burst(
    stage: Stage, ground: Ground, worker: BenchWorker, sent: _Sent, jobs: int
) -> dict[str, dict[str, int]]:
    stage.tell(f"{jobs:,} jobs, due in the same millisecond")
    due, urgent = now_ms() + _LEAD_MS, max(1, jobs // _URGENT_SHARE)
    plan = {handlers.QUEUE: [due] * (jobs - urgent), _URGENT: [due] * urgent}
    due_at = await _send(ground, sent, plan)
    await _wait(ground, worker, sent)
    return due_at


def _together(burst: Mapping[str, Mapping[str, int]], started: Mapping[str, Any]) -> Figures:
    waits = {
        queue: [(started[id_] - due * 1_000_000) / 1e6 for id_, due in due_at.items()]
        for queue, due_at in burst.items()
    }
    every = [wait for each in waits.values() for wait in each]
    return {
        "started": len(every),
        "early": sum(wait < 0 for wait in every),
        "last_ms": max(every),
        "urgent_last_ms": max(waits[_URGENT]),
    }


# Many that wait


async def _let_wait(
    stage: Stage, ground: Ground, worker: BenchWorker, count: int, empty: float
) -> Figures:
    """Have so many jobs wait for a year: how fast they are sent, what they cost the worker."""
    if not count:
        return {}
    stage.tell(f"{count:,} jobs, due in a year")
    topic, retry = ground.names.queue(handlers.QUEUE), ground.names.retry(handlers.QUEUE)
    rates, began = [], time.monotonic()
    for part in range(_PARTS):
        numbers = range(part * count // _PARTS, (part + 1) * count // _PARTS)
        before = time.monotonic()
        await load.fill(ground.bootstrap, topic, _in_a_year(numbers))
        rates.append(len(numbers) / (time.monotonic() - before))
    await wait_for_records(
        ground.bootstrap, retry, count, worker.check, tell=stage.tell, patience_s=_TAKEN_OVER_S
    )
    seconds = time.monotonic() - began
    await asyncio.sleep(_QUIET_S)
    return {
        "pending": count,
        "pending_rss_growth_mb": resident_mb(worker.pid) - empty,
        "pending_peak_growth_mb": peak_mb(worker.pid) - empty,
        "first_enqueued_per_second": rates[0],
        "last_enqueued_per_second": rates[-1],
        "taken_over_per_second": count / seconds,
        "disk_mb": _disk_mb(ground),
    }


def _in_a_year(numbers: range) -> Iterator[load.Placed]:
    due, name = now_ms() + _YEAR_MS, handlers.Noop.__job_name__
    envelopes = (
        replace(load.job_envelope(name, handlers.QUEUE, n, now_ms()), not_before=due + n)
        for n in numbers
    )
    return load.placed(envelopes, PARTITIONS)


def _disk_mb(ground: Ground) -> float:
    files = [file for file in (ground.folder / "worker").rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


@dataclass(frozen=True, slots=True)
class _Restart:
    """When a worker was started (ns since the epoch), and what was due by then."""

    began: int
    due: list[str]
    resident: float  # MB in use, once all was quiet


async def _leave_due(ground: Ground, sent: _Sent) -> list[str]:
    """Some jobs that come due once the worker has stopped; it takes them over before."""
    due = now_ms() + _AWAY_MS
    due_at = await _send(ground, sent, {handlers.QUEUE: [due] * _LEFT})
    await asyncio.sleep(1)
    return list(due_at[handlers.QUEUE])


async def _restarts(
    stage: Stage, ground: Ground, sent: _Sent, left: list[str]
) -> dict[str, _Restart]:
    """Start it on its disk, then on an empty one."""
    await _all_are_taken_over(ground)
    await asyncio.sleep(_AWAY_MS / 1000)
    restarts = {}
    for name in ("same_disk", "empty_disk"):
        if name == "empty_disk":
            shutil.rmtree(ground.folder / "worker")
        stage.tell(f"a worker starts: {name.replace('_', ' ')}")
        began = time.time_ns()
        with ground.worker() as worker:
            await _wait(ground, worker, sent)
            await asyncio.sleep(_QUIET_S)
            restarts[name] = _Restart(began, left, resident_mb(worker.pid))
            left = await _leave_due(ground, sent) if name == "same_disk" else []
            await worker.stop()
        await _all_are_taken_over(ground)
        await asyncio.sleep(_AWAY_MS / 1000 if left else 0)
    return restarts


async def _all_are_taken_over(ground: Ground) -> None:
    if left := await uncommitted(ground, ground.names.queue(handlers.QUEUE)):
        raise BenchFailed(f"{left} jobs were not taken over before the worker stopped")


def _after_restart(restart: _Restart, started: Mapping[str, Any], empty: float) -> Figures:
    waits = [(started[id_] - restart.began) / 1e9 for id_ in restart.due]
    return {
        "first_release_seconds": min(waits),
        "last_release_seconds": max(waits),
        "rss_growth_mb": restart.resident - empty,
    }


async def _started(ground: Ground, sent: _Sent) -> dict[str, Any]:
    """When each job started, by the ledgers, which have to add up."""
    started: dict[str, Any] = {}
    for queue, numbers in sent.numbers.items():
        started |= (await recount(ground, queue, numbers)).results
    return started


BENCH: Final = Bench(
    name="delay",
    how=(
        "From when a job was due to the first line of its handler, by the clock of the machine "
        "that worker and bench share: so many jobs that are due over a minute, then as many that "
        "are due in the same millisecond, a tenth of them in a queue of more weight. "
        "rss_growth_mb is the most memory that the worker had in use, less what it had when it "
        "was ready and empty. With --pending so many others wait for a year meanwhile, and the "
        "worker is started again on its disk and on an empty one: from the start of its process "
        "to the first lines of jobs that had come due, and the memory that it has in use then, "
        "less what it had when it was empty."
    ),
    jobs=10_000,
    rounds=1,
    run=run,
)
