"""Jobs in bulk, as a client writes them, put into topics before anything is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer

from streams.wire.envelope import Envelope, encode
from streams.wire.partition import partition_of

Encoded = tuple[bytes, bytes, list[tuple[str, bytes]]]  # key, value, headers
Placed = tuple[int, Encoded]  # partition, record

KEYS: Final = 10_000
SOURCE: Final = "bench"
_BATCH_BYTES: Final = 256 * 1024
_BREATHE: Final = 2_000  # records between two looks at the loop


def id_of(n: int) -> str:
    """The id of job or event `n` of a run; it is as long as a UUID."""
    return f"0199aaaa-0000-7000-8000-{n:012d}"


def fields_of(n: int) -> dict[str, Any]:
    """The payload of number `n`: all kinds have the same fields."""
    account = n % KEYS
    return {"account": account, "n": n, "email": f"user-{account}@example.org"}


def job_envelope(name: str, queue: str, n: int, time: int, *, keys: int = KEYS) -> Envelope:
    """Job `n` of one kind, enqueued at `time`, as `JobClient` makes it; 0 keys: unordered."""
    return Envelope(
        id=id_of(n),
        name=name,
        source=SOURCE,
        time=time,
        payload=orjson.dumps(fields_of(n)),
        queue=queue,
        key=f"{name}:{n % keys}" if keys else None,
    )


def event_envelope(kind: str, n: int, time: int) -> Envelope:
    """Event `n` of one type, that happened at `time`."""
    return Envelope(
        id=id_of(n),
        name=kind,
        source=SOURCE,
        time=time,
        payload=orjson.dumps(fields_of(n)),
        key=str(n % KEYS),
    )


def placed(envelopes: Iterable[Envelope], partitions: int) -> Iterator[Placed]:
    """Records, each with the partition of its key; a key is hashed once."""
    places: dict[bytes, int] = {}
    for envelope in envelopes:
        record = encode(envelope)
        partition = places.get(record[0])
        if partition is None:
            partition = places[record[0]] = partition_of(record[0], partitions)
        yield partition, record


async def fill(bootstrap: str, topic: str, records: Iterable[Placed]) -> None:
    """Write records in whole batches; returns once the broker has all of them."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    try:
        batches: dict[int, Any] = {}
        sent: list[asyncio.Future[Any]] = []
        for count, (partition, (key, value, headers)) in enumerate(records):
            batch = batches.get(partition)
            if batch is None:
                batch = batches[partition] = producer.create_batch()
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = batches[partition] = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=headers)
            if count % _BREATHE == 0:
                await asyncio.sleep(0)
        for partition, batch in batches.items():
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
