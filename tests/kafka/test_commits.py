"""Where work goes on: commits that Kafka forgot, logs with gaps, an old disk, a trimmed queue."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from fault_handlers import Hold, Later, Step
from fault_oracle import Tally, Topics, judge_order, judge_settled
from fleet import Fleet, Worker, happened
from group import Group
from topics import create_topics

from streams.client import JobClient
from streams.client_request import now_ms
from streams.kafka.log import KafkaLog
from streams.wire.envelope import Envelope, encode
from streams.wire.topics import TopicNames

ACCOUNTS = 4


@pytest.mark.parametrize(
    "loses_disk", [False, pytest.param(True, marks=pytest.mark.long)], ids=["disk", "no-disk"]
)
async def test_without_the_groups_offsets_work_goes_on_from_the_commit_in_state(
    kafka: str, prefix: str, tmp_path: Path, loses_disk: bool
) -> None:
    await create_topics(kafka, prefix)
    group = Group(kafka, f"{prefix}workers")
    first, second = set(range(20)), set(range(20, 40))
    debug = {"STREAMS_LOG_LEVEL": "debug"}  # duplicates are told
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        with Fleet(kafka, prefix, tmp_path, **debug) as fleet:
            # given jobs that were enqueued before there was a commit of any kind, and are over
            await _enqueue(client, first)
            worker = fleet.start("worker")
            await Topics.until_settled(kafka, prefix, {"step": first}, fleet.logs)
            assert worker.stop() == 0, worker.log
            assert await group.committed()
            # when the broker forgets the group, and there is more to do
            await _enqueue(client, second)
            await group.delete()
            assert await group.committed() == {}
            if loses_disk:
                shutil.rmtree(tmp_path / "worker" / "data")
            worker.start()
            await Topics.until_settled(kafka, prefix, {"step": second}, fleet.logs)
            # then nothing was even read again
            assert _duplicates(worker) == []
            # which the log would tell, as it does of a copy
            await _enqueue(client, {7})
            await worker.until_said("duplicate")
            assert worker.stop() == 0, worker.log
            assert len(_duplicates(worker)) == 1
            found = fleet.lines
    tally = await _judge(kafka, prefix, found, first | second, copies=1)
    assert tally.repeated == 0


async def test_with_nothing_committed_work_goes_on_from_the_first_record(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, 1)
    group = Group(kafka, f"{prefix}workers")
    latch = tmp_path / "latch"
    steps = set(range(20))
    settings = {"STREAMS_PARTITIONS": "1", "STREAMS_GRACE": "0s", "handlers": "trimming_handlers"}
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
            # given that the job of the first record runs, and those behind it are over
            await client.enqueue(Hold(n=0, latch=str(latch)), id="0")
            await _enqueue(client, steps)
            worker = fleet.start("worker")
            await Topics.until_settled(kafka, prefix, {"step": steps}, fleet.logs, partitions=1)
            await fleet.until_each("start", "hold", {0})
            # when the worker hands it back, and ends
            assert worker.stop() == 0, worker.log
            assert set((await group.committed()).values()) <= {0}
            assert "stop hold 0 0" in {" ".join(line[:4]) for line in fleet.lines}
            # then its successor starts it again, and nothing else
            worker.start()
            await fleet.until_each("start", "hold", {0}, in_=worker)
            latch.touch()
            await fleet.until_each("end", "hold", {0})
            await _enqueue(client, {20})
            await Topics.until_settled(
                kafka, prefix, {"step": {20}, "hold": {0}}, fleet.logs, partitions=1
            )
            assert worker.stop() == 0, worker.log
            assert await group.committed() == {_place(prefix): 22}
            found = fleet.lines
    assert (await _judge(kafka, prefix, found, steps | {20}, partitions=1, others=1)).repeated == 0
    assert [line[0] for line in found if line[1] == "hold"] == ["start", "stop", "start", "end"]


async def test_gaps_in_the_log_of_a_queue_hold_nothing_up(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, 1)
    group = Group(kafka, f"{prefix}workers")
    place = _place(prefix)
    log = KafkaLog(kafka, "test")
    await log.start()
    try:
        with Fleet(kafka, prefix, tmp_path, STREAMS_PARTITIONS="1") as fleet:
            async with JobClient(kafka, source="test", prefix=prefix) as client:
                # given a queue whose first records are trimmed before anybody reads it
                await _enqueue(client, set(range(1000, 1005)))
                await log.trim(place.topic, 0, 5)
                # and transactions in it: one that is aborted, one that is committed
                await _enqueue(client, set(range(5)))
                async with _transactions(kafka) as producer:
                    await _send_in_transaction(producer, log, place.topic, range(2000, 2005), False)
                    await _enqueue(client, set(range(5, 10)))
                    await _send_in_transaction(producer, log, place.topic, range(10, 15), True)
                    await _enqueue(client, set(range(15, 20)))
                    # then a worker runs what was enqueued, and what was committed
                    worker = fleet.start("worker")
                    await _settled(kafka, prefix, set(range(20)), fleet)
                    # also what comes when a gap was the last that it saw
                    await _send_in_transaction(producer, log, place.topic, range(2005, 2010), False)
                    await _enqueue(client, set(range(20, 25)))
                    await _settled(kafka, prefix, set(range(25)), fleet)
                    assert worker.stop() == 0, worker.log
                    # when its commit is within what is trimmed, before a gap that was the end
                    at_rest = (await group.committed())[place]
                    assert at_rest == await log.end(place.topic, 0)
                    await _send_in_transaction(producer, log, place.topic, range(2010, 2015), False)
                end = await log.end(place.topic, 0)
                assert end == at_rest + 6
                await log.trim(place.topic, 0, end)
                await _enqueue(client, set(range(25, 30)))
                worker.start()
                # then it goes on with what there is
                await _settled(kafka, prefix, set(range(30)), fleet)
                assert worker.stop() == 0, worker.log
                assert (await group.committed())[place] == end + 5
            found = fleet.lines
    finally:
        await log.stop()
    # and what was trimmed or aborted never ran
    assert happened(found, "start", "step") == set(range(30))
    tally = judge_order(found, "step", gone=[])
    topics = await Topics.read(kafka, prefix, partitions=1)
    judge_settled(topics, found, "step", set(range(30)), tally)
    assert tally.repeated == 0
    assert not topics.dead


async def test_a_read_yields_no_empty_batch_where_it_ends_in_a_gap(
    kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_topics(kafka, prefix, 1)
    topic = _place(prefix).topic
    log = KafkaLog(kafka, "test")
    await log.start()
    try:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            await _enqueue(client, {0})
            async with _transactions(kafka) as producer:
                await _send_in_transaction(producer, log, topic, range(1, 4), False)
            end = await log.end(topic, 0)
            assert end == 5
            # nothing but the gap is left
            assert [b async for b in log.read(topic, 0, 1)] == []
            # given a record that comes when the end was looked at already
            await _enqueue(client, {4})
        monkeypatch.setattr(log, "end", _answer(end))
        # then it is not read, and neither is an empty batch
        batches = [[r.offset for r in batch] async for batch in log.read(topic, 0, 0)]
        assert batches == [[0]]
        assert [b async for b in log.read(topic, 0, 1)] == []
    finally:
        await log.stop()


async def test_an_old_disk_that_is_put_back_repeats_nothing_and_loses_nothing(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    disk, old_disk = tmp_path / "worker" / "data", tmp_path / "old"
    latches = {name: tmp_path / name for name in ("old-latch", "new-latch")}
    before, after, last = set(range(20)), set(range(20, 40)), set(range(40, 60))
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        with Fleet(kafka, prefix, tmp_path) as fleet:

            async def enqueue_later(numbers: set[int], latch: str) -> None:
                jobs = (Later(n=n, latch=str(latches[latch])) for n in sorted(numbers))
                await client.enqueue_many(jobs, id=lambda job: str(job.n))
                await fleet.until_each("stop", "later", numbers)

            # given the disk of a worker that has jobs in its open table
            worker = fleet.start("worker")
            await _enqueue(client, before)
            await enqueue_later({0, 1}, "old-latch")
            await Topics.until_settled(kafka, prefix, {"step": before}, fleet.logs)
            assert worker.stop() == 0, worker.log
            shutil.copytree(disk, old_disk)
            # and that afterwards those ended, as did others, and others again were opened
            worker.start()
            latches["old-latch"].touch()
            await _enqueue(client, after)
            await enqueue_later({2, 3}, "new-latch")
            over = {"step": after, "later": {0, 1}}
            await Topics.until_settled(kafka, prefix, over, fleet.logs)
            assert worker.stop() == 0, worker.log
            # when the old disk is put back
            shutil.rmtree(disk)
            shutil.move(old_disk, disk)
            worker.start()
            # then what was over is known, and what was open goes on
            await _enqueue(client, before | after)
            await _enqueue(client, last)
            latches["new-latch"].touch()
            over = {"step": last, "later": {2, 3}}
            await Topics.until_settled(kafka, prefix, over, fleet.logs)
            assert worker.stop() == 0, worker.log
            found = fleet.lines
    assert "local state is rebuilt" not in worker.log  # it was caught up with, not thrown away
    tally = await _judge(kafka, prefix, found, before | after | last, copies=40, others=4)
    assert tally.repeated == 0
    ends = sorted(line[3] for line in found if line[:2] == ["end", "later"])
    assert ends == ["0", "1", "2", "3"]


async def test_a_worker_trims_what_is_acknowledged_and_nothing_else(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, 1)
    place = _place(prefix)
    group = Group(kafka, f"{prefix}workers")
    latch = tmp_path / "latch"
    settings = {"STREAMS_PARTITIONS": "1", "handlers": "trimming_handlers"}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:

        async def beginning(worker: Worker) -> int:
            """Where the queue begins, once a round of trimming began after this call."""
            rounds = len(_rounds(fleet, worker)) + 2  # the next may have begun already
            await fleet.until(lambda _: len(_rounds(fleet, worker)) >= rounds)
            return await _beginning(kafka, place)

        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given acknowledged records that are younger than is trimmed
            worker = fleet.start("worker", STREAMS_TRIM_AFTER="1h")
            await _enqueue(client, set(range(20)))
            await _settled(kafka, prefix, set(range(20)), fleet)
            await _until_committed(group, place, 20, worker)
            assert await beginning(worker) == 0
            assert worker.stop() == 0, worker.log
            # when the next worker trims sooner, then they go
            eager = fleet.start("eager", STREAMS_TRIM_AFTER="1ms")
            assert await beginning(eager) == 20
            # but not what runs, nor what is behind it, though that is over
            await client.enqueue(Hold(n=0, latch=str(latch)), id="0")
            await fleet.until_each("start", "hold", {0})
            await _enqueue(client, set(range(20, 40)))
            await _settled(kafka, prefix, set(range(40)), fleet)
            assert await beginning(eager) == 20
            assert (await group.committed())[place] == 20
            # until it is over, too
            latch.touch()
            await fleet.until_each("end", "hold", {0})
            await _until_committed(group, place, 41, eager)
            assert await beginning(eager) == 41
            # and then the queue goes on, and its jobs are known
            await _enqueue(client, {39, 40})
            await _settled(kafka, prefix, set(range(41)), fleet)
            assert eager.stop() == 0, eager.log
        found = [line for line in fleet.lines if line[0] != "trimmed"]
    assert happened(found, "end", "step") == set(range(41))
    assert [line[0] for line in found if line[1:4] == ["step", "3", "39"]] == ["start", "end"]
    topics = await Topics.read(kafka, prefix, partitions=1)
    judge_settled(topics, found, "step", set(range(41)), judge_order(found, "step", gone=[]))


def _place(prefix: str) -> TopicPartition:
    """The only partition of the queue."""
    return TopicPartition(TopicNames(prefix).queue("default"), 0)


async def _enqueue(client: JobClient, numbers: set[int]) -> None:
    steps = [Step(account=n % ACCOUNTS, n=n) for n in sorted(numbers)]
    await client.enqueue_many(steps, id=lambda step: str(step.n))


@asynccontextmanager
async def _transactions(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer of somebody who writes in transactions."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"test-{uuid.uuid4()}")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _send_in_transaction(
    producer: AIOKafkaProducer, log: KafkaLog, topic: str, numbers: range, commits: bool
) -> None:
    """Steps that count if the transaction is committed; its end is a record, too.

    The broker answers before it has written that one: it is there on return.
    """
    before = await log.end(topic, 0)
    await producer.begin_transaction()
    for n in numbers:
        job = Envelope(
            id=str(n),
            name="step",
            source="elsewhere",
            time=now_ms(),
            payload=b'{"account": %d, "n": %d}' % (n % ACCOUNTS, n),
            key=f"step:{n % ACCOUNTS}",
        )
        key, value, headers = encode(job)
        await producer.send_and_wait(topic, value, key, 0, headers=headers)
    await (producer.commit_transaction() if commits else producer.abort_transaction())
    while await log.end(topic, 0) < before + len(numbers) + 1:
        await asyncio.sleep(0.01)  # the broker tells only who asks


def _answer(offset: int) -> Callable[[str, int], Awaitable[int]]:
    async def end(topic: str, partition: int) -> int:
        return offset

    return end


async def _until_committed(
    group: Group, place: TopicPartition, offset: int, worker: Worker
) -> None:
    limit = time.monotonic() + 60
    while (found := (await group.committed()).get(place)) != offset:
        assert time.monotonic() < limit, f"{found} is committed, not {offset}\n{worker.log}"
        await asyncio.sleep(0.1)  # the broker tells only who asks


async def _settled(kafka: str, prefix: str, steps: set[int], fleet: Fleet) -> None:
    await Topics.until_settled(kafka, prefix, {"step": steps}, fleet.logs, partitions=1)


async def _judge(
    kafka: str,
    prefix: str,
    found: list[list[str]],
    steps: set[int],
    *,
    copies: int = 0,
    others: int = 0,
    partitions: int = 2,
) -> Tally:
    """Each step was settled once, in order; the queue has so many copies and other jobs, too."""
    tally = judge_order(found, "step", gone=[])
    topics = await Topics.read(kafka, prefix, partitions=partitions)
    judge_settled(topics, found, "step", steps, tally)
    assert not topics.dead
    assert len(topics.queue) == len(steps) + copies + others
    return tally


def _duplicates(worker: Worker) -> list[str]:
    return [line for line in worker.log.splitlines() if "duplicate" in line]


def _rounds(fleet: Fleet, worker: Worker) -> list[list[str]]:
    pids = {str(pid) for pid in worker.pids}
    return [line for line in fleet.lines if line[0] == "trimmed" and line[-1] in pids]


async def _beginning(kafka: str, place: TopicPartition) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        return int((await consumer.beginning_offsets([place]))[place])
    finally:
        await consumer.stop()
