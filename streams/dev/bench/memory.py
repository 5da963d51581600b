"""Memory of a process that is in use (resident), seen from outside."""

from __future__ import annotations

import re
from pathlib import Path

from streams.dev.bench.bench import BenchFailed


def resident_mb(pid: int) -> float:
    """How much it has now, in MB.

    Raises:
        BenchFailed: this system does not say.
    """
    return _field(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most that it had at any time, in MB.

    Raises:
        BenchFailed: this system does not say.
    """
    return _field(pid, "VmHWM")


def _field(pid: int, name: str) -> float:
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    if found is None:
        raise BenchFailed("this bench needs /proc/PID/status, which Linux has")
    return int(found[1]) / 1000
