"""What the topics say in the end, counted with plain aiokafka and none of the engine's readers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.dev.bench.bench import BenchFailed
from streams.dev.bench.stage import PARTITIONS, Ground

Offsets = Mapping[int, int]  # by partition

_EVERY: Final = 0.1  # seconds between two looks at the ends of a topic
_STUCK_S: Final = 30.0  # without a single new record
_QUIET_S: Final = 0.3  # watched on after the last one, for what comes twice


@asynccontextmanager
async def reading(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


def places(topic: str) -> list[TopicPartition]:
    """The partitions of a topic of ours."""
    return [TopicPartition(topic, number) for number in range(PARTITIONS)]


async def wait_for_records(
    bootstrap: str,
    topic: str,
    count: int,
    check: Callable[[], None],
    *,
    tell: Callable[[str], None] = lambda text: None,
    patience_s: float = _STUCK_S,
    since: Offsets | None = None,
) -> None:
    """Until a topic has `count` records of jobs, from the offsets `since` on.

    Seen from its end offsets, which costs the broker nothing; only then are those left out that
    the engine writes about itself, and waited on if some are.

    Raises:
        BenchFailed: nothing was added for `patience_s`, or `check` raised it.
    """
    about_itself = 0
    before = sum((since or {}).values())
    while True:
        end = before + count + about_itself
        await _wait_for_end(bootstrap, topic, end, before, check, tell, patience_s)
        records = records_of(bootstrap, topic, since)
        found = Counter([is_job(record.key) async for record in records])
        if found[True] >= count:
            break
        about_itself = found[False]
    await asyncio.sleep(_QUIET_S)


async def _wait_for_end(
    bootstrap: str,
    topic: str,
    end: int,
    before: int,
    check: Callable[[], None],
    tell: Callable[[str], None],
    patience_s: float,
) -> None:
    async with reading(bootstrap) as consumer:
        seen, since, told = -1, time.monotonic(), time.monotonic()
        while seen < end:
            check()
            now = sum((await consumer.end_offsets(places(topic))).values())
            if now > seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > patience_s:
                has = f"{seen - before} of {end - before}"
                raise BenchFailed(f"{topic} has {has} records, and no more came")
            if time.monotonic() - told > 5:
                told = time.monotonic()
                tell(f"{seen - before:,} of {end - before:,}")
            await asyncio.sleep(_EVERY)


def is_job(key: bytes) -> bool:
    """Whether a record of a state topic is about a job; the engine's own have a `#` in front."""
    return not key.startswith(b"#")


async def ends_of(bootstrap: str, topic: str) -> Offsets:
    """The end of each partition."""
    async with reading(bootstrap) as consumer:
        ends = await consumer.end_offsets(places(topic))
    return {place.partition: end for place, end in ends.items()}


async def records_of(
    bootstrap: str, topic: str, since: Offsets | None = None
) -> AsyncIterator[Any]:
    """Every record of a topic (from some offsets on) to its end, in order within a partition."""
    async with reading(bootstrap) as consumer:
        every = places(topic)
        consumer.assign(every)
        for place in every:
            if since is not None:
                consumer.seek(place, since[place.partition])
        ends = await consumer.end_offsets(every)
        while left := [p for p in every if await consumer.position(p) < ends[p]]:
            for batch in (await consumer.getmany(*left, timeout_ms=200)).values():
                for record in batch:
                    yield record


@dataclass(slots=True)
class Ledger:
    """What was read of a ledger."""

    stamps: Counter[int] = field(default_factory=Counter)  # records for each timestamp
    states: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)  # records for each id
    order: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # ids of a key
    results: dict[str, Any] = field(default_factory=dict)

    def take(self, key: bytes, value: bytes, stamp: int) -> None:
        """Count one record."""
        name, ordering_key, id_ = orjson.loads(key)
        told = orjson.loads(value)
        self.stamps[stamp] += 1
        self.states[told["state"]] += 1
        self.copies[id_] += 1
        self.order[f"{name} {ordering_key}"].append(id_)
        if told.get("result") is not None:
            self.results[id_] = told["result"]


def faults(ledger: Ledger, expected: Mapping[str, int]) -> list[str]:
    """What is wrong with a ledger that should have each expected id once, as completed.

    `expected` has the number of each id in the order in which they were enqueued: within a key
    the ledger has to have them in this order. Pure.
    """
    found = []
    if missing := expected.keys() - ledger.copies.keys():
        found.append(f"{len(missing)} of {len(expected)} jobs are missing")
    if strange := ledger.copies.keys() - expected.keys():
        found.append(f"{len(strange)} jobs were never enqueued")
    if twice := sum(1 for count in ledger.copies.values() if count > 1):
        found.append(f"{twice} jobs are there more than once")
    if others := {s: n for s, n in ledger.states.items() if s != "completed"}:
        found.append(f"not completed: {others}")
    disordered = 0
    for ids in ledger.order.values():
        numbers = [expected[id_] for id_ in ids if id_ in expected]
        disordered += numbers != sorted(numbers)
    if disordered:
        found.append(f"{disordered} keys are out of order")
    return found


async def recount(
    ground: Ground, queue: str, expected: Mapping[str, int], since: Offsets | None = None
) -> Ledger:
    """Read the ledger, and compare it and the committed offsets with what was enqueued.

    `since` is where it ended before they were.

    Raises:
        BenchFailed: they do not add up.
    """
    ledger = Ledger()
    async for record in records_of(ground.bootstrap, ground.names.ledger(queue), since):
        if record.value is not None and is_job(record.key):
            ledger.take(record.key, record.value, record.timestamp)
    wrong = faults(ledger, expected)
    topic = ground.names.queue(queue)
    if left := await uncommitted(ground, topic):
        wrong.append(f"{left} records of {topic} are not acknowledged")
    if wrong:
        raise BenchFailed("the recount of the topics failed: " + "; ".join(wrong))
    return ledger


async def uncommitted(ground: Ground, topic: str) -> int:
    """How many records of a topic its workers have not acknowledged."""
    async with reading(ground.bootstrap) as consumer:
        ends = await consumer.end_offsets(places(topic))
    admin = AIOKafkaAdminClient(bootstrap_servers=ground.bootstrap)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(ground.group)
    finally:
        await admin.close()
    kept = {(p.topic, p.partition): max(0, m.offset) for p, m in committed.items()}
    return sum(end - kept.get((p.topic, p.partition), 0) for p, end in ends.items())
