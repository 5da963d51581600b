"""Many jobs are sent in parts: each bounded, in order, and none begun before the last one is in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka.errors import MessageSizeTooLargeError

from streams import client_sender as client_module
from streams.client import JobClient
from streams.contracts import JobPayload
from streams.errors import PayloadTooLarge
from streams.wire import producer as wire

PARTITIONS = 3
PART_JOBS = client_module._CHUNK
PART_BYTES = client_module._CHUNK_BYTES


class Import(JobPayload, name="import", key="account"):
    account: int
    n: int
    text: str = ""


@dataclass
class Batch:
    """What travels together: no more than aiokafka would put into one request."""

    records: list[tuple[bytes, bytes]] = field(default_factory=list)

    def append(self, *, timestamp: int | None, key: bytes, value: bytes, headers: Any) -> Any:
        if sum(len(value) for _, value in self.records) + len(value) > 256 * 1024 and self.records:
            return None
        self.records.append((key, value))
        return self.records


class Producer:
    """Writes what it is given a little later, and knows how much was on its way at most."""

    def __init__(self) -> None:
        self.written: dict[int, list[dict[str, Any]]] = {n: [] for n in range(PARTITIONS)}
        self.refuses: int | None = None  # the number of a job that is too large, it says
        self.on_its_way: list[int] = []  # sizes of payloads that were taken from the caller
        self.most_jobs = self.most_bytes = 0
        self.alive = asyncio.get_running_loop().create_future()
        self._sender = SimpleNamespace(sender_task=self.alive)
        cluster = SimpleNamespace(partitions_for_topic=lambda topic: set(range(PARTITIONS)))
        self.client = SimpleNamespace(cluster=cluster)

    @property
    def jobs(self) -> list[int]:
        """The numbers of the jobs that were written."""
        return [job["n"] for jobs in self.written.values() for job in jobs]

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Partitions answer at different times: the parts must not become mixed by that.
        for _ in range(5 * partition):
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.001, self._write, batch, partition, answer)
        return answer

    def taken(self, size: int) -> None:
        """The caller has made one more job."""
        self.on_its_way.append(size)
        self.most_jobs = max(self.most_jobs, len(self.on_its_way))
        self.most_bytes = max(self.most_bytes, sum(self.on_its_way))

    def _write(self, batch: Batch, partition: int, answer: asyncio.Future[None]) -> None:
        jobs = [orjson.loads(value) for _, value in batch.records]
        if any(job["n"] == self.refuses for job in jobs):
            answer.set_exception(MessageSizeTooLargeError("too large"))
            return
        self.written[partition] += jobs
        del self.on_its_way[: len(jobs)]  # all of a test have the same size
        answer.set_result(None)

    async def flush(self) -> None: ...

    async def stop(self) -> None:
        self.alive.cancel()


@pytest.fixture
async def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    made = Producer()

    async def open_producer(*_: Any, **__: Any) -> Producer:
        return made

    monkeypatch.setattr(wire, "open_producer", open_producer)
    return made


def imports(producer: Producer, count: int, text: str) -> Iterable[Import]:
    for n in range(count):
        payload = Import(account=n % 7, n=n, text=text)
        producer.taken(len(payload.model_dump_json()))
        yield payload


async def one_by_one(payloads: Iterable[Import]) -> AsyncIterator[Import]:
    for payload in payloads:
        await asyncio.sleep(0)
        yield payload


@pytest.mark.parametrize("are_async", [False, True])
@pytest.mark.parametrize(
    ("count", "size"),
    [
        (1, 10),
        (PART_JOBS, 10),
        (2 * PART_JOBS + 500, 10),
        (60, 600_000),  # four parts, none of which is full of jobs
        (30, PART_BYTES // 10),  # parts that end on the bound
    ],
)
async def test_no_more_than_a_part_is_on_its_way_and_all_of_it_arrives_in_order(
    producer: Producer, count: int, size: int, are_async: bool
) -> None:
    async with JobClient("nowhere:1", source="test") as client:
        jobs = imports(producer, count, "x" * size)
        handles = await client.enqueue_many(one_by_one(jobs) if are_async else jobs)
    # each job is told of in its place, and is where its handle says
    assert len(handles) == count
    for n, handle in enumerate(handles):
        assert handle.key == f"import:{n % 7}"
        assert n in [job["n"] for job in producer.written[handle.partition]]
    # nothing is lost or sent twice, and the jobs of a key are in order
    assert sorted(producer.jobs) == list(range(count))
    for jobs_of_partition in producer.written.values():
        numbers = [job["n"] for job in jobs_of_partition]
        assert numbers == sorted(numbers)
    # and of the caller's jobs no more were made than one part has
    each = size + 100
    assert producer.most_jobs <= min(count, PART_JOBS)
    assert producer.most_bytes < PART_BYTES + each
    is_full = producer.most_jobs == min(count, PART_JOBS) or producer.most_bytes >= PART_BYTES
    assert is_full, "parts are smaller than they may be"


async def test_a_batch_of_many_jobs_is_sent_in_parts_too(producer: Producer) -> None:
    async with JobClient("nowhere:1", source="test") as client:
        batch = [Import(account=n % 7, n=n, text="x" * 600_000) for n in range(40)]
        most = 0
        sent: list[int] = []
        send_jobs = client._send_jobs

        async def counted(envelopes: Any, *, id_given: bool) -> Any:
            nonlocal most
            size = sum(len(envelope.payload) for envelope in envelopes)
            most = max(most, size)
            sent.append(len(envelopes))
            return await send_jobs(envelopes, id_given=id_given)

        client._send_jobs = counted  # type: ignore[method-assign]
        await client.enqueue_batch(batch, then=Import(account=0, n=-1))
    assert sent[0] == 1  # the callback, before any of its children
    assert sum(sent[1:]) == 40
    assert len(sent) > 3
    assert most < PART_BYTES + 600_100
    assert sorted(producer.jobs) == list(range(-1, 40))


async def test_a_part_that_is_refused_leaves_those_before_it_and_nothing_follows(
    producer: Producer,
) -> None:
    producer.refuses = PART_JOBS + 10
    made: list[int] = []

    def payloads() -> Iterable[Import]:
        for payload in imports(producer, 4 * PART_JOBS, ""):
            made.append(payload.n)
            yield payload

    async with JobClient("nowhere:1", source="test") as client:
        with pytest.raises(PayloadTooLarge):
            await client.enqueue_many(payloads())
    written = set(producer.jobs)
    assert set(range(PART_JOBS)) <= written
    assert max(written) < 2 * PART_JOBS
    assert made == list(range(2 * PART_JOBS))  # the next part was not even made
