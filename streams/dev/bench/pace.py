"""Sends jobs at a rate, whatever happens to them: an open loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streams.dev.bench.load import Placed
from streams.wire.producer import close_producer, open_producer

_AWAKE_NS: Final = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """What became of a plan; nanoseconds since the epoch."""

    planned: list[int]  # when each record was to be sent
    sent: list[int]  # when it was
    cpu_share: float  # of one core, used by this process meanwhile

    @property
    def lags_ms(self) -> list[float]:
        """By how much each was late."""
        return [
            (sent - planned) / 1e6 for planned, sent in zip(self.planned, self.sent, strict=True)
        ]


def plan(start: int, count: int, per_second: float) -> list[int]:
    """When each of `count` records is to be sent, evenly spaced. Pure."""
    return [start + int(n * 1e9 / per_second) for n in range(count)]


async def send_paced(
    bootstrap: str, topic: str, records: Sequence[Placed], per_second: float
) -> Paced:
    """Send each record at its time, or as soon after it as this process can; all acknowledged."""
    producer = await open_producer(bootstrap, "bench-pace")
    try:
        await producer.partitions_for(topic)
        acknowledged = []
        sent: list[int] = []
        # Collecting garbage would stop the clock of the loop for as long as a job may take.
        gc.collect()
        gc.disable()
        cpu, began = time.process_time(), time.perf_counter()
        planned = plan(time.time_ns() + 5_000_000, len(records), per_second)
        for due, (partition, (key, value, headers)) in zip(planned, records, strict=True):
            while (now := time.time_ns()) < due:
                # A loop's timers are late by up to a millisecond or two: the rest is spent awake.
                await asyncio.sleep(max(0, due - now - _AWAKE_NS) / 1e9)
            sent.append(now)
            acknowledged.append(await producer.send(topic, value, key, partition, None, headers))
        cpu_share = (time.process_time() - cpu) / (time.perf_counter() - began)
        await asyncio.gather(*acknowledged)
    finally:
        gc.enable()
        await close_producer(producer)
    return Paced(planned=planned, sent=sent, cpu_share=cpu_share)
