"""recovery: a worker without any state on disk, and one that takes over from a killed one."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from streams.client_request import now_ms
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.recount import recount, wait_for_records
from streams.dev.bench.stage import PARTITIONS, Ground, Stage
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.envelope import encode
from streams.wire.partition import partition_of
from streams.wire.state import OpenEntry, encode_open

_LATER_MS: Final = 7 * 24 * 3_600_000
_TAKEN_OVER_S: Final = 60.0
_RECOVERED_S: Final = 300.0


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: a retry topic with so many entries, then a kill -9."""
    ready, seconds = await _recover(stage, jobs)
    empty, after_kill = await _take_over(stage)
    return {
        "entries": jobs,
        "seconds": seconds,
        "ready_seconds": ready,
        "empty_start_seconds": empty,
        "after_kill_seconds": after_kill,
    }


# A full retry topic


async def _recover(stage: Stage, count: int) -> tuple[float, float]:
    """Seconds until the worker says that it is ready; until it is, as its work shows."""
    ground = stage.ground()
    await ground.make_topics()
    stage.tell(f"filling the retry topic with {count:,} entries")
    due_now = _last_of_each_partition(count)
    expected = {load.id_of(n): n for n in due_now}
    topic = ground.names.retry(handlers.QUEUE)
    entries = scheduled_entries(ground, count, due_now=due_now)
    await load.fill(ground.bootstrap, topic, entries)
    stage.tell("starting a worker")
    began = time.time()
    with ground.worker() as worker:
        ready = await worker.ready()
        # What is due by now is the last that was written: it runs once all the rest was read.
        ledger = ground.names.ledger(handlers.QUEUE)
        await wait_for_records(
            ground.bootstrap, ledger, len(expected), worker.check, patience_s=_RECOVERED_S
        )
        await worker.stop()
    found = await recount(ground, handlers.QUEUE, expected)
    return ready, max(ready, max(found.stamps) / 1000 - began)


def scheduled_entries(
    ground: Ground, count: int, *, first: int = 0, due_now: Collection[int] = ()
) -> Iterator[load.Placed]:
    """Scheduled jobs, numbered from `first` on, due in a week but for some that are due now."""
    name = handlers.Noop.__job_name__
    now = now_ms()
    places = account_places()
    for n in range(first, first + count):
        envelope = load.job_envelope(name, handlers.QUEUE, n, now)
        key, payload, headers = encode(envelope)
        partition = places[n % load.KEYS]
        entry = OpenEntry(
            job=JobKey(name=name, ordering_key=envelope.key, id=envelope.id),
            state=State.SCHEDULED,
            time=now,
            generation=0,
            run=0,
            attempts=0,
            arrival=0,
            due=now if n in due_now else now + _LATER_MS,
            blocks=False,
            record_key=key,
            headers=tuple(headers),
            payload=payload,
            origin=(ground.names.queue(handlers.QUEUE), partition, 0),
        )
        yield partition, (*encode_open(entry), [])


def account_places() -> list[int]:
    """The partition of each account's jobs."""
    name = handlers.Noop.__job_name__
    return [partition_of(f"{name}:{n}".encode(), PARTITIONS) for n in range(load.KEYS)]


def _last_of_each_partition(count: int) -> set[int]:
    places = account_places()
    return set({places[n % load.KEYS]: n for n in range(count)}.values())


# A worker that is killed


async def _take_over(stage: Stage) -> tuple[float, float]:
    """Seconds until an empty worker is ready; from a kill to the job's next start elsewhere."""
    ground = stage.ground()
    await ground.make_topics()
    starts = ground.folder / "starts"
    setting = {handlers.STARTS: str(starts)}
    with ExitStack() as running:
        first = running.enter_context(ground.worker(name="first", **setting))
        ready = await first.ready()
        second = running.enter_context(ground.worker(name="second", **setting))
        await second.ready()
        envelope = load.job_envelope(handlers.Hold.__job_name__, handlers.QUEUE, 0, now_ms())
        topic = ground.names.queue(handlers.QUEUE)
        await load.fill(ground.bootstrap, topic, load.placed([envelope], PARTITIONS))
        victim, _ = await _start_number(starts, 1)
        stage.tell("kill -9 of the worker that runs the job")
        killed = time.time_ns()
        os.kill(victim, signal.SIGKILL)
        heir, started = await _start_number(starts, 2)
        survivor = first if heir == first.pid else second
        ledger = ground.names.ledger(handlers.QUEUE)
        await wait_for_records(ground.bootstrap, ledger, 1, survivor.check)
        await survivor.stop()
    await recount(ground, handlers.QUEUE, {envelope.id: 0})
    return ready, (started - killed) / 1e9


async def _start_number(starts: Path, number: int) -> tuple[int, int]:
    """Process and time (ns) of the job's start, once there were so many.

    The file is the signal: the other processes have no other way to tell us.
    """
    until = time.monotonic() + _TAKEN_OVER_S
    while time.monotonic() < until:
        lines = _lines(starts)
        if len(lines) >= number:
            pid, when = lines[number - 1].split()
            return int(pid), int(when)
        await asyncio.sleep(0.01)
    raise BenchFailed(f"start {number} of the job did not come within {_TAKEN_OVER_S:.0f} s")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


BENCH: Final = Bench(
    name="recovery",
    how=(
        "seconds: from the start of the process, its folder empty, until /ready answers 200 and "
        "the last entry of each partition, which is due, has run (by the broker's timestamp of its "
        "ledger record), with so many scheduled entries in the retry topic; ready_seconds is the "
        "answer alone, and empty_start_seconds the same without entries. after_kill_seconds: from "
        "kill -9 of the worker that runs a job to the first line of its handler on the other one, "
        "with the default session timeout."
    ),
    jobs=50_000,
    rounds=1,
    run=run,
)
