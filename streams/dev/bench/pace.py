"""Sends jobs at a rate, whatever happens to them: an open loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaProducer

from streams.dev.bench.load import Placed
from streams.wire.outbox import Outbox, Sending
from streams.wire.producer import close_producer, open_producer

_AWAKE_NS: Final = 2_000_000
_FEW: Final = 1_000  # jobs a second


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

    async def the_producer() -> AIOKafkaProducer:
        return producer

    outbox = Outbox(the_producer)  # as `JobClient` sends
    try:
        await producer.partitions_for(topic)
        sending = Sending(len(records))
        sent: list[int] = []
        # Collecting garbage would stop the clock of the loop for as long as a job may take.
        gc.collect()
        gc.disable()
        cpu, began = time.process_time(), time.perf_counter()
        planned = plan(time.time_ns() + 5_000_000, len(records), per_second)
        # A loop's timers are late by up to a millisecond or two. Between few jobs the rest is spent
        # awake; many go in small groups, or this process would take a core of its own.
        awake_ns = _AWAKE_NS if per_second <= _FEW else 0
        for index, (partition, (key, value, headers)) in enumerate(records):
            due = planned[index]
            while (now := time.time_ns()) < due:
                await asyncio.sleep(max(0, due - now - awake_ns) / 1e9)
            sent.append(now)
            outbox.put((topic, partition), sending, index, key, value, headers)
            if now - due > _AWAKE_NS:  # behind its plan, it must not forget to send
                await asyncio.sleep(0)
        cpu_share = (time.process_time() - cpu) / (time.perf_counter() - began)
        await sending.over
    finally:
        gc.enable()
        await close_producer(producer)
    return Paced(planned=planned, sent=sent, cpu_share=cpu_share)
