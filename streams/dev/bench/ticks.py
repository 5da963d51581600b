"""ticks: how late what the clock enqueues starts, and how soon a dead owner is replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from streams.client_request import now_ms
from streams.cron.schedule import Every
from streams.cron.ticks import tick_id
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.recount import Ledger, faults, is_job, records_of
from streams.dev.bench.stage import Ground, Stage
from streams.dev.bench.statistics import percentile
from streams.dev.bench.worker import BenchWorker
from streams.replay.workers import read_workers
from streams.schedules.control import forgotten, write_control
from streams.wire.schedules import Added, encode_added

_SECOND: Final = 1_000
_STEADY_S: Final = 60
_STARTING_MS: Final = 10_000
_AFTER_KILL_S: Final = 20.0  # in which the other worker goes on
_FOUND_S: Final = 30.0


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: two workers start, work for a minute, and the one with the schedules is killed."""
    ground = stage.ground()
    await ground.make_topics()
    names = [f"tick-{n}" for n in range(max(1, jobs // _STEADY_S))]
    await write_control(ground.bootstrap, ground.names.control, [_added(n) for n in names])
    with ground.worker(name="a") as a, ground.worker(name="b") as b:
        stage.tell(f"two workers start, with {len(names)} schedules of every second")
        await a.ready()
        await b.ready()
        began = now_ms()
        stage.tell(f"{_STEADY_S} s of ticks")
        await _pass(_STEADY_S, a, b)
        owner, other = await _owner_and_other(ground, a, b)
        stage.tell("the worker that enqueues them is killed")
        owner.kill()
        killed = now_ms()
        await _pass(_AFTER_KILL_S, other)
        removed = now_ms()
        records = [record for name in names for record in forgotten(name)]
        await write_control(ground.bootstrap, ground.names.control, records)
        await _pass(2.0, other)  # what has been enqueued runs
        await other.stop()
    late = _lateness(await _starts(ground, names, until=removed))
    first = min(late)
    return {
        "ticks": sum(map(len, late.values())),
        "starting": _figures(late, first, first + _STARTING_MS),
        **_figures(late, began, killed),
        "replaced_ms": min(
            tick + each for tick, lates in late.items() if tick > killed for each in lates
        )
        - killed,
    }


def _added(name: str) -> tuple[bytes, bytes | None]:
    number = int(name.rpartition("-")[2])
    added = Added(
        schedule=Every("1s", overlap="allow"),
        job=handlers.Timed.__job_name__,
        queue=handlers.QUEUE,
        key=f"{handlers.Timed.__job_name__}:{number}",
        payload=orjson.dumps(load.fields_of(number)),
    )
    return encode_added(name, added)


async def _pass(seconds: float, *workers: BenchWorker) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, 1.0))
        for worker in workers:
            worker.check()


async def _owner_and_other(
    ground: Ground, a: BenchWorker, b: BenchWorker
) -> tuple[BenchWorker, BenchWorker]:
    """Who has the first partition of the queue, by what workers say of themselves."""
    until = time.monotonic() + _FOUND_S
    while time.monotonic() < until:
        for seen in await read_workers(ground.bootstrap, ground.names.workers):
            if 0 in seen.partitions.get(handlers.QUEUE, ()):
                return (a, b) if str(a.pid) in seen.worker else (b, a)
        await asyncio.sleep(0.2)
    raise BenchFailed(f"no worker says that it has the first partition of {handlers.QUEUE}")


async def _starts(ground: Ground, names: list[str], *, until: int) -> dict[int, list[int]]:
    """When what each tick enqueued started (ns), by the tick's time.

    Raises:
        BenchFailed: one was lost between the first and the last, or is there twice.
    """
    ledger = Ledger()
    async for record in records_of(ground.bootstrap, ground.names.ledger(handlers.QUEUE)):
        if record.value is not None and is_job(record.key):
            ledger.take(record.key, record.value, record.timestamp)
    last = (until - 2 * _SECOND) // _SECOND * _SECOND  # the latest that must be there
    first = {name: _first(ledger.results, name) for name in names}
    ticks = {
        tick_id(name, tick): tick
        for name in names
        for tick in range(first[name], until + 2 * _SECOND, _SECOND)
    }
    expected = {id_: tick for id_, tick in ticks.items() if tick <= last or id_ in ledger.results}
    if wrong := faults(ledger, expected):
        raise BenchFailed("the recount of the topics failed: " + "; ".join(wrong))
    starts: dict[int, list[int]] = {}
    for id_, tick in expected.items():
        starts.setdefault(tick, []).append(ledger.results[id_])
    return starts


def _first(results: Mapping[str, Any], name: str) -> int:
    """The first tick of a schedule that ran: it begins when a worker sees it.

    Raises:
        BenchFailed: none did.
    """
    ids = [id_ for id_ in results if id_.startswith(f"{name}:")]
    if not ids:
        raise BenchFailed(f"nothing that {name} enqueued was run")
    moment = datetime.fromisoformat(min(ids).partition(":")[2])
    return int(moment.timestamp()) * _SECOND


def _lateness(starts: Mapping[int, list[int]]) -> dict[int, list[float]]:
    return {tick: [each / 1e6 - tick for each in found] for tick, found in starts.items()}


def _figures(late: Mapping[int, list[float]], since: int, until: int) -> Figures:
    chosen = [each for tick, lates in late.items() if since <= tick < until for each in lates]
    return {
        "p50_late_ms": percentile(chosen, 50),
        "p99_late_ms": percentile(chosen, 99),
        "max_late_ms": max(chosen),
    }


BENCH: Final = Bench(
    name="ticks",
    how=(
        "Schedules of every second, on two workers: from the time of a tick to the first line of "
        "what it enqueues, by the clock of the machine that all share, over a minute in which "
        "both are at work; `starting` is of the first ten seconds, while the second one joins. "
        "Then the worker that enqueues them is killed: replaced_ms is from then to the first "
        "start of a later tick. Each tick has to be in the ledger once."
    ),
    jobs=1_200,
    rounds=1,
    run=run,
)
