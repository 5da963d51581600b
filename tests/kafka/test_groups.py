"""What reaches which worker: groups with queues of their own, partitions, and names of jobs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer
from fault_handlers import Step
from fault_oracle import Topics, judge_order, judge_settled
from fleet import Fleet, happened
from group_handlers import Sold
from topics import create_topics, read_all

from streams.client import JobClient
from streams.jobs.states import State
from streams.wire.envelope import Envelope, encode
from streams.wire.partition import partition_of
from streams.wire.topics import TopicNames

REFUSED = 2


async def test_an_event_reaches_its_subscriber_in_each_group(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    queues = ("billing", "shipping")
    await create_topics(kafka, prefix, queues=queues, events=["sold"])
    every = set(range(20))
    settings = {"handlers": "group_handlers", "STREAMS_QUEUES": ",".join(queues)}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        # given a worker of each of two groups, with the same handlers and a queue each
        billing, shipping = (
            fleet.start(queue, STREAMS_GROUP=queue, STREAMS_SERVES=queue) for queue in queues
        )
        # when events are published
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            for n in every:
                await client.emit(Sold(account=n % 4, n=n))
            # then each of them is handled in both groups, by the group whose queue it is
            await fleet.until_each("end", "bill", every, in_=billing)
            await fleet.until_each("end", "ship", every, in_=shipping)
        assert billing.stop() == 0, billing.log
        assert shipping.stop() == 0, shipping.log
        found = [(job, key, n) for _, job, key, n, _ in fleet.lines]
    # and once: each group fanned out to its own subscribers alone
    assert len(found) == len(set(found)) == 2 * len(every)
    assert not happened(fleet.lines, "end", "bill", shipping)
    for queue in queues:
        topics = await Topics.read(kafka, prefix, queue=queue)
        assert len(topics.queue) == len(topics.ledger) == len(every)
        assert not topics.dead


async def test_a_worker_that_asks_for_another_groups_queue_is_refused_and_takes_nothing(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    settings = {"STREAMS_QUEUES": "default,bulk"}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given a queue that a group's worker works on
            owner = fleet.start("owner", STREAMS_GROUP="fast", STREAMS_SERVES="default")
            await client.enqueue(Step(account=1, n=1))
            await fleet.until_each("end", "step", {1}, in_=owner)
            # when a worker of another group serves all queues
            other = fleet.start("other", STREAMS_GROUP="slow")
            # then it says what is wrong and what mends it, and does not start
            assert await other.ended() == REFUSED, other.log
            assert "queue 'default' belongs to worker group 'fast'" in other.log
            assert "leave it out of STREAMS_SERVES" in other.log
            assert "STREAMS_GROUP=fast" in other.log
            assert "Traceback" not in other.log
            # and the queue that was free is free still, for the group that is meant to have it
            claims = await read_all(kafka, TopicNames(prefix).control, 1)
            assert [claim.value for claim in claims] == [b"fast"]
            third = fleet.start("third", STREAMS_GROUP="third", STREAMS_SERVES="bulk")
            # which runs what was sent there, though its definition names the other queue
            await client.enqueue(Step(account=2, n=2), queue="bulk")
            await client.enqueue(Step(account=3, n=3))
            await fleet.until_each("end", "step", {2}, in_=third)
            # and the owner was not disturbed
            await fleet.until_each("end", "step", {3}, in_=owner)
        assert owner.stop() == third.stop() == 0, fleet.logs()


async def test_what_a_foreign_producer_put_elsewhere_is_forwarded_and_runs_once_in_order(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    topic = TopicNames(prefix).queue("default")
    # given jobs of some keys, all on the partition where their key does not belong
    sent = {n: _foreign(n, key=f"step:{n % 4}") for n in range(1, 41)}
    assert {partition_of(key, 2) for key, _, _ in sent.values()} == {0, 1}
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for key, value, headers in sent.values():
            wrong = 1 - partition_of(key, 2)
            await producer.send_and_wait(topic, value, key, partition=wrong, headers=headers)
        with Fleet(kafka, prefix, tmp_path) as fleet:
            worker = fleet.start("worker")
            await Topics.until_settled(kafka, prefix, {"step": set(sent)}, fleet.logs)
            # when one of them comes again, on either partition
            for partition in (0, 1):
                key, value, headers = sent[1]
                await producer.send_and_wait(topic, value, key, partition, headers=headers)
            sent[41] = _foreign(41, key="step:1")  # behind them
            key, value, headers = sent[41]
            await producer.send_and_wait(
                topic, value, key, 1 - partition_of(key, 2), headers=headers
            )
            await Topics.until_settled(kafka, prefix, {"step": set(sent)}, fleet.logs)
            assert worker.stop() == 0, worker.log
            found = fleet.lines
    finally:
        await producer.stop()
    # then each ran once, in the order of its key
    tally = judge_order(found, "step", gone=[])
    topics = await Topics.read(kafka, prefix)
    judge_settled(topics, found, "step", set(sent), tally)
    assert tally.repeated == 0
    assert not topics.dead
    # and was forwarded byte for byte: with the id, the time and all else that its producer gave it
    right = [r for r in topics.queue if r.partition == partition_of(r.key, 2)]
    forwarded: dict[int, list[tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]]] = {}
    for record in right:
        number = int(dict(record.headers)["ce_id"])
        forwarded.setdefault(number, []).append((record.key, record.value, record.headers))
    for n, (key, value, headers) in sent.items():
        copies = 3 if n == 1 else 1  # of the first one, one came there of itself
        assert forwarded[n] == [(key, value, tuple(headers))] * copies
    settled = {n: records[0].time for n, records in topics.settled("step").items()}
    assert settled == {n: _time(n) for n in sent}


async def test_a_job_whose_name_nobody_knows_waits_for_the_worker_that_is_deployed_next(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    every = {1, 2, 3, 4}
    with Fleet(kafka, prefix, tmp_path) as fleet:
        # given a worker that has no handler for what is sent
        old = fleet.start("old", handlers="crash_handlers")
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            for n in sorted(every):
                await client.enqueue(Step(account=n % 2, n=n), id=str(n))
        # then it keeps the jobs in the open table
        reasons = await _until_parked(kafka, prefix, every, fleet)
        assert reasons == {"no handler here is named 'step'"}
        # when the next version comes up beside it, and it goes
        new = fleet.start("new")
        old.terminate()
        assert await old.ended() == 0, old.log
        # then they run there, once and in the order of their keys
        await fleet.until_each("end", "step", every, in_=new)
        await Topics.until_settled(kafka, prefix, {"step": every}, fleet.logs)
        assert new.stop() == 0, new.log
        found = fleet.lines
    topics = await Topics.read(kafka, prefix)
    judge_settled(topics, found, "step", every, judge_order(found, "step", gone=[]))
    assert not topics.dead


def _time(n: int) -> int:
    """When a foreign producer says that it made a job; in the past, and in no order."""
    return 1_700_000_000_000 + n * 7919 % 100_000


def _foreign(n: int, key: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of a `step`, as somebody else makes them."""
    account = key.partition(":")[2]
    return encode(
        Envelope(
            id=str(n),
            name="step",
            source="elsewhere",
            time=_time(n),
            payload=b'{"account": %s,\n "n": %d}' % (account.encode(), n),
            key=key,
            extensions={"tenant": f"t{n}"},
        )
    )


async def _until_parked(kafka: str, prefix: str, jobs: set[int], fleet: Fleet) -> set[str]:
    """Why they wait, once all of them are parked."""
    limit = time.monotonic() + 60
    while True:
        opened = (await Topics.read(kafka, prefix)).opened("step")
        last = {n: entries[-1] for n, entries in opened.items()}
        if last.keys() == jobs:
            found = [entry for entry in last.values() if entry is not None]
            assert [entry.state for entry in found] == [State.PARKED] * len(jobs)
            return {entry.reason for entry in found}
        assert time.monotonic() < limit, f"only {last}\n{fleet.logs()}"
        await asyncio.sleep(0.1)  # the open table says nothing, and has to be read
