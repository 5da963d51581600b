"""All benches, in the order in which they run."""

from __future__ import annotations

from typing import Final

from streams.dev.bench import (
    console,
    controls,
    delay,
    drain,
    enqueue,
    failing,
    fanout,
    hot,
    io,
    latency,
    ledger,
    priority,
    processes,
    recovery,
    replay,
    start,
    ticks,
    unordered,
)
from streams.dev.bench.bench import Bench

_MODULES: Final = (
    drain,
    unordered,
    io,
    fanout,
    enqueue,
    latency,
    recovery,
    hot,
    failing,
    processes,
    start,
    ledger,
    controls,
    priority,
    delay,
    ticks,
    replay,
    console,
)

BENCHES: Final[dict[str, Bench]] = {module.BENCH.name: module.BENCH for module in _MODULES}
