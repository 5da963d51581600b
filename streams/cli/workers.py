"""`streams workers`: who is at work, and on what."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits
from streams.cli.output import JSON, print_json, print_table

if TYPE_CHECKING:
    from streams.replay.workers import WorkerSeen

app = typer.Typer(help="See who is at work.", epilog=exits.EPILOG, no_args_is_help=True)


@app.callback()
def workers() -> None:
    """See who is at work."""


@app.command(epilog=exits.EPILOG)
def ls(
    running: bool = typer.Option(False, "--running", help="Each job that runs, the oldest first."),
    as_json: bool = JSON,
) -> None:
    """List workers: version, partitions, how much they run, and when they were heard of last."""
    from streams.replay.workers import read_workers
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    settings = Settings()
    names = TopicNames(settings.prefix)
    found = asyncio.run(read_workers(settings.bootstrap_servers, names.workers))
    now = time.time_ns() // 1_000_000
    if as_json:
        print_json([_as_json(worker, now) for worker in found])
    elif running:
        _print_running(found, now)
    else:
        _print(found, now)
    if not found:
        print("streams: no worker is there", file=sys.stderr)


def _print(found: Sequence[WorkerSeen], now: int) -> None:
    print_table(
        ("worker", "group", "version", "up", "partitions", "in hand", "runs", "longest", "seen"),
        [
            (
                worker.worker,
                worker.group,
                worker.version,
                _span(now - worker.started),
                ", ".join(f"{q} {_ranges(held)}" for q, held in worker.partitions.items()),
                str(worker.in_hand),
                str(len(worker.running)),
                "" if worker.longest is None else _span(now - worker.longest),
                f"{_span(now - worker.seen)} ago" + (": gone?" if worker.is_gone(now) else ""),
            )
            for worker in found
        ],
    )


def _print_running(found: Sequence[WorkerSeen], now: int) -> None:
    jobs = [(job, worker) for worker in found for job in worker.running]
    print_table(
        ("for", "name", "id", "key", "attempt", "worker"),
        [
            (
                _span(now - job.since),
                job.name,
                job.id,
                job.key or "",
                str(job.attempt),
                who.worker + (": gone?" if who.is_gone(now) else ""),
            )
            for job, who in sorted(jobs, key=lambda pair: pair[0].since)
        ],
    )


def _as_json(worker: WorkerSeen, now: int) -> dict[str, Any]:
    return {
        "worker": worker.worker,
        "group": worker.group,
        "version": worker.version,
        "started": worker.started,
        "seen": worker.seen,
        "gone": worker.is_gone(now),
        "partitions": _lists(worker.partitions),
        "standbys": _lists(worker.standbys),
        "handlers": None if worker.handlers is None else sorted(worker.handlers),
        "in_hand": worker.in_hand,
        "running": [
            {
                "name": job.name,
                "id": job.id,
                "key": job.key,
                "attempt": job.attempt,
                "since": job.since,
                "for_ms": max(0, now - job.since),
            }
            for job in worker.running
        ],
    }


def _lists(partitions: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    return {queue: list(held) for queue, held in partitions.items()}


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in order, runs of them joined: 0-3,7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _span(ms: int) -> str:
    """How long, in the largest unit that it fills, and the next one."""
    seconds = max(0, ms) // 1000
    for size, unit, small, low in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // small}{low}"
    return f"{seconds}s"
