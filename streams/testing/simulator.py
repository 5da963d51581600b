"""Seeded schedules of jobs and faults on the real pipeline, judged by an oracle.

`python -m streams.testing.simulator SEED` prints what happened in one of them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from streams.testing import workload
from streams.testing.faults import Coverage
from streams.testing.judge import judge
from streams.testing.loop import Livelock
from streams.testing.schedule import Schedule, Size
from streams.testing.stores import compare_stores
from streams.testing.world import World

DEFAULT = Size()


@dataclass(slots=True, kw_only=True)
class Report:
    """What a schedule showed; no faults means that every guarantee held."""

    seed: int
    jobs: int = 0
    attempts: int = 0
    crashes: int = 0
    copies: int = 0
    purged: int = 0  # jobs that a purge has cancelled
    injected: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    trace: list[str] = field(default_factory=list)


@contextmanager
def quietly() -> Iterator[None]:
    """Without logs, at which nobody looks here."""
    logger = logging.getLogger("streams")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def simulate(seed: int, *, size: Size = DEFAULT, tracing: bool = False) -> Report:
    """Run one schedule to its end and judge it."""
    world = World(seed, tracing=tracing)
    workload.current[:] = [world]
    with quietly():
        try:
            return _run(world, size, seed)
        finally:
            workload.current.clear()
            world.loop.close()


def _run(world: World, size: Size, seed: int) -> Report:
    schedule = Schedule(world, size)
    schedule.arrange()
    try:
        world.loop.run()
        schedule.replay_some(0.5)
        world.loop.run()
        judge(world)
        if seed % 4 == 0:
            compare_stores(world)
    except Livelock as error:
        world.oracle.fault("liveness", str(error))
    oracle = world.oracle
    return Report(
        seed=seed,
        jobs=len(oracle.jobs),
        attempts=oracle.attempts,
        crashes=world.crashes,
        copies=schedule.copies,
        purged=oracle.purges.cancelled,
        injected=schedule.faults,
        faults=oracle.faults + world.loop.errors,
        coverage=world.coverage,
        trace=world.trace or [],
    )


def main() -> None:
    """Print the trace of a seed."""
    report = simulate(int(sys.argv[1]), tracing=True)
    for line in report.trace:
        print(line)
    print(f"seed {report.seed}: {report.jobs} jobs, {report.crashes} crashes, {report.injected}")
    for fault in report.faults:
        print(f"FAULT {fault}")
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
