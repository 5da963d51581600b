"""Runs many schedules, on one core or several, and keeps what matters of their reports."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.testing.faults import Coverage
from streams.testing.simulator import Report, simulate

CHUNK: Final = 100  # seeds; garbage is collected in between


@dataclass(slots=True, kw_only=True)
class Summary:
    """What many schedules showed."""

    schedules: int = 0
    jobs: int = 0
    attempts: int = 0
    crashes: int = 0
    purged: int = 0
    seconds: float = 0.0  # of one core
    failed: list[Report] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)

    def add(self, other: Summary) -> None:
        """Take another one in."""
        self.schedules += other.schedules
        self.jobs += other.jobs
        self.attempts += other.attempts
        self.crashes += other.crashes
        self.purged += other.purged
        self.seconds += other.seconds
        self.failed += other.failed
        self.coverage.update(other.coverage)

    def __str__(self) -> str:
        rate = self.schedules / self.seconds if self.seconds else 0.0
        return (
            f"{self.schedules} schedules, {self.jobs} jobs, {self.attempts} attempts, "
            f"{self.crashes} crashes; {len(self.failed)} failed; {rate:.0f}/s on one core"
        )


def run_seeds(seeds: Sequence[int], processes: int = 1) -> Summary:
    """Run the schedules of these seeds."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    total = Summary()
    if processes == 1:
        for chunk in chunks:
            total.add(_run_chunk(chunk))
        return total
    # Not forked: a test run has threads by then.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for summary in pool.imap_unordered(_run_chunk, chunks):
            total.add(summary)
    total.failed.sort(key=lambda report: report.seed)
    return total


def first_failure(seeds: Iterable[int]) -> Report | None:
    """The first of these seeds whose schedule shows a fault."""
    for seed in seeds:
        report = simulate(seed)
        if report.faults:
            return report
    return None


def _run_chunk(seeds: Sequence[int]) -> Summary:
    summary = Summary()
    began = time.process_time()
    gc.collect()
    gc.disable()  # a schedule leaves cycles behind, and looking for them takes longer than it
    try:
        for seed in seeds:
            report = simulate(seed)
            summary.schedules += 1
            summary.jobs += report.jobs
            summary.attempts += report.attempts
            summary.crashes += report.crashes
            summary.purged += report.purged
            summary.coverage.update(report.coverage)
            if report.faults:
                summary.failed.append(report)
    finally:
        gc.enable()
    summary.seconds = time.process_time() - began
    return summary
