"""Records by the million, straight to their partitions: as a client and a worker write them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice

from streams.client_request import now_ms
from streams.contracts import JobPayload
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.kafka.log import KafkaLog
from streams.wire.envelope import Envelope, encode
from streams.wire.partition import partition_of
from streams.wire.state import OpenEntry, encode_open
from streams.wire.topics import TopicNames
from streams.worker.ports import Append
from streams.worker.settlement import epoch_headers

AT_ONCE = 20_000
_ID = "00000000"


@asynccontextmanager
async def opened_log(kafka: str) -> AsyncIterator[KafkaLog]:
    """A log to append to."""
    log = KafkaLog(kafka, "test")
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


async def append_all(log: KafkaLog, records: Iterable[Append]) -> float:
    """Append all of them, some at a time; returns the seconds that took."""
    began = time.monotonic()
    left = iter(records)
    while chunk := list(islice(left, AT_ONCE)):
        await log.append(chunk)
    return time.monotonic() - began


def job(names: TopicNames, payload: JobPayload, id_: str, partition: int | None = None) -> Append:
    """A job as a client sends it; one without a key may go to any partition."""
    name, ordering_key = payload.__job_name__, payload.ordering_key()
    envelope = Envelope(
        id=id_,
        name=name,
        source="test",
        time=now_ms(),
        payload=payload.model_dump_json().encode(),
        queue="default",
        key=None if ordering_key is None else f"{name}:{ordering_key}",
    )
    key, value, headers = encode(envelope)
    return Append(names.queue("default"), partition, key, value, headers)


def place_of(name: str, ordering_key: object, partitions: int) -> int:
    """The partition of a key's jobs."""
    return partition_of(f"{name}:{ordering_key}".encode(), partitions)


def entries(
    names: TopicNames, partition: int, count: int, state: State, *, due: int
) -> Iterator[Append]:
    """Open entries of one partition, of jobs without a key, as its owner writes them."""
    payload = b'{"n":0}'
    now = now_ms()
    _, _, headers = encode(
        Envelope(id=_ID, name="filler", source="test", time=now, payload=payload, queue="default")
    )
    entry = OpenEntry(
        job=JobKey(name="filler", ordering_key=None, id=_ID),
        state=state,
        time=now,
        generation=0,
        run=0,
        attempts=0,
        arrival=0,
        due=due,
        blocks=False,
        record_key=_ID.encode(),
        headers=tuple(headers),
        payload=payload,
        enqueued=now,
        origin=(names.queue("default"), partition, 0),
    )
    key, value = encode_open(entry)
    # Above any epoch that a worker of the test has reached: else it would be void.
    owner = epoch_headers(1_000)
    template = _ID.encode()
    for n in range(count):
        id_ = b"%08d" % n
        yield Append(
            names.retry("default"),
            partition,
            key.replace(template, id_),
            value.replace(template, id_),
            owner,
        )
