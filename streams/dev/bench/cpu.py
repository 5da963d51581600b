"""CPU time of a process, all its threads included, seen from outside."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streams.dev.bench.statistics import Window, interpolate

_EVERY: Final = 0.02  # seconds; the kernel counts in steps of 10 ms


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process so far; None where there is no /proc, or no process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class OtherLoad:
    """How many cores are busy with what is neither ours nor our children's, since it was made.

    Children count once they have ended; `also` are those that go on.
    """

    def __init__(self, also: Sequence[int] = ()) -> None:
        self._also = also
        self._began = time.monotonic()
        self._busy = _busy_seconds()
        self._ours = self._our_seconds()

    def cores(self) -> float | None:
        """The mean so far; None where there is no /proc."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (self._our_seconds() - self._ours)
        return max(0.0, others / (time.monotonic() - self._began))

    def _our_seconds(self) -> float:
        used = os.times()
        ours = used.user + used.system + used.children_user + used.children_system
        return ours + sum(cpu_seconds(pid) or 0.0 for pid in self._also)


def _busy_seconds() -> float | None:
    """CPU time of the whole machine that was not idle, time stolen from it included."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, fields)
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


class CpuSampler:
    """Notes a process's CPU time every 20 ms, so that any window can be asked for afterwards."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: list[tuple[float, float]] = []  # milliseconds since the epoch, seconds
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while (used := cpu_seconds(self._pid)) is not None:
            self._samples.append((time.time() * 1000, used))
            await asyncio.sleep(_EVERY)

    def us_per_record(self, window: Window) -> float | None:
        """Microseconds of CPU for each record of a window; None if it was not watched."""
        before = interpolate(self._samples, window.first)
        after = interpolate(self._samples, window.last)
        if before is None or after is None or not window.records:
            return None
        return (after - before) * 1e6 / window.records
