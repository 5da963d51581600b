"""All benches, in the order in which they run."""

from __future__ import annotations

from typing import Final

from streams.dev.bench import drain, enqueue, fanout, io, latency, recovery, unordered
from streams.dev.bench.bench import Bench

BENCHES: Final[dict[str, Bench]] = {
    module.BENCH.name: module.BENCH
    for module in (drain, unordered, io, fanout, enqueue, latency, recovery)
}
