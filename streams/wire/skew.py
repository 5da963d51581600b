"""How far this machine's clock is from the broker's, by the times that it puts on records."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaProducer

from streams.values import immutable

ASKED: Final = 7
KEY: Final = b"#clock"
"""Of the records that ask for the time: to those who read the log of asks they say nothing."""


@immutable(frozen=True, slots=True, kw_only=True)
class Sample:
    """One record: when it was sent and acknowledged here, and when the broker took it (ms)."""

    sent: float
    acknowledged: float
    taken: int


@immutable(frozen=True, slots=True, kw_only=True)
class Skew:
    """By how many milliseconds this clock is ahead of the broker's, and how sure that is."""

    ahead_ms: float
    within_ms: float


def skew_of(samples: Iterable[Sample]) -> Skew:
    """What the fastest of some samples say, as NTP does: the broker took it somewhere between.

    Raises:
        ValueError: there are none.
    """
    best = min(samples, key=lambda sample: sample.acknowledged - sample.sent)
    taken = best.taken + 0.5  # the broker rounds down
    middle = (best.sent + best.acknowledged) / 2
    return Skew(ahead_ms=middle - taken, within_ms=(best.acknowledged - best.sent) / 2 + 0.5)


async def measure_skew(producer: AIOKafkaProducer, topic: str) -> Skew:
    """Ask the broker for its time; `topic` is the log of asks, whose times are the broker's.

    Raises:
        KafkaError: it did not answer.
    """
    samples = []
    for _ in range(ASKED):
        sent = time.time() * 1000
        told = await producer.send_and_wait(topic, key=KEY, value=b"", partition=0)
        samples.append(Sample(sent=sent, acknowledged=time.time() * 1000, taken=told.timestamp))
    return skew_of(samples[1:])  # the first one opens a connection
