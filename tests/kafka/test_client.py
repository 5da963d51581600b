"""JobClient against a real Kafka: what arrives, what handles see, and errors in bounded time."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.client import Handle, JobClient, current
from streams.contracts import Event, JobPayload
from streams.errors import (
    BrokerUnavailable,
    JobFailed,
    PayloadInvalid,
    PayloadTooLarge,
    ResultTimeout,
    StreamsError,
    TopicMismatch,
)
from streams.jobs.outcome import Failure
from streams.jobs.retry import Fixed
from streams.jobs.states import State
from streams.wire.admin import Verdict, apply_topics, open_admin, plan_topics
from streams.wire.commands import decode_command
from streams.wire.envelope import Envelope, Record, decode, decode_event
from streams.wire.partition import partition_of
from streams.wire.producer import send
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames, TopicSpec, specs


class ClientSignedUp(Event, type="client.signed_up", key="user_id"):
    """A person created an account."""

    user_id: int


class ClientReport(JobPayload, name="client.report", key="account_id", queue="bulk"):
    """Ask for one account's report."""

    account_id: int
    note: str = ""


class ClientPing(JobPayload, name="client.ping", queue="bulk"):
    """A job without a key."""

    number: int = 0


@pytest.fixture
def wanted(prefix: str) -> list[TopicSpec]:
    return specs(TopicNames(prefix), ["bulk"], ["client.signed_up"], partitions=2, replication=1)


@pytest.fixture
async def jobs(kafka: str, prefix: str, wanted: list[TopicSpec]) -> AsyncIterator[JobClient]:
    async with open_admin(kafka) as admin:
        await apply_topics(admin, wanted)
    async with JobClient(kafka, source="/tests", prefix=prefix) as client:
        yield client


async def read_all(kafka: str, topic: str) -> list[Record]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, fetch_max_wait_ms=50, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for p in range(2)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Record] = []
        while len(records) < sum(ends.values()):
            for tp, batch in (await consumer.getmany(timeout_ms=100)).items():
                records += [
                    Record(tp.topic, tp.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
                    for r in batch
                ]
        return records
    finally:
        await consumer.stop()


async def sent_jobs(kafka: str, prefix: str) -> list[tuple[Record, Envelope]]:
    records = await read_all(kafka, f"{prefix}jobs.bulk")
    return [(record, decode(record)) for record in records]


async def test_an_event_arrives_with_its_metadata(jobs: JobClient, kafka: str, prefix: str) -> None:
    id_ = await jobs.emit(ClientSignedUp(user_id=42), user_id=42, tenant="acme", traceparent="00-x")

    [record] = await read_all(kafka, f"{prefix}client.signed_up")
    event = decode_event(record, "client.signed_up")
    assert (event.id, event.source, event.key) == (id_, "/tests", "42")
    assert event.payload == b'{"user_id":42}'
    assert event.extensions == {"userid": "42", "tenant": "acme"}
    assert event.traceparent == "00-x"
    assert record.partition == partition_of(b"42", 2)


async def test_a_job_arrives_with_its_options(jobs: JobClient, kafka: str, prefix: str) -> None:
    handle = await jobs.enqueue(
        ClientReport(account_id=7),
        id="r:7",
        delay="10m",
        attempts=5,
        timeout="2m",
        expires="1h",
        backoff=Fixed("3s"),
    )

    [(record, job)] = await sent_jobs(kafka, prefix)
    assert (job.id, job.name, job.queue, job.key) == (
        "r:7",
        "client.report",
        "bulk",
        "client.report:7",
    )
    assert record.key == b"client.report:7"
    assert record.partition == handle.partition == partition_of(record.key, 2)
    assert job.not_before == job.time + 600_000
    assert job.expires == job.time + 3_600_000
    assert job.options is not None
    assert (job.options.attempts, job.options.timeout_ms) == (5, 120_000)
    assert isinstance(job.options.backoff, Fixed)
    assert (handle.id, handle.name, handle.queue, handle.time) == (
        "r:7",
        "client.report",
        "bulk",
        job.time,
    )


async def test_the_past_is_now_and_a_time_needs_a_zone(
    jobs: JobClient, kafka: str, prefix: str
) -> None:
    now = datetime.now(UTC)
    await jobs.enqueue(ClientPing(), run_at=now - timedelta(hours=1))
    with pytest.raises(PayloadInvalid, match="time zone"):
        await jobs.enqueue(ClientPing(), run_at=now.replace(tzinfo=None))
    with pytest.raises(PayloadInvalid, match="either"):
        await jobs.enqueue(ClientPing(), run_at=now, delay="1s")

    [(record, job)] = await sent_jobs(kafka, prefix)
    assert job.not_before is None
    assert (job.key, record.key) == (None, job.id.encode())


async def test_many_jobs_keep_their_order_for_a_key(
    jobs: JobClient, kafka: str, prefix: str
) -> None:
    async def payloads() -> AsyncIterator[ClientReport]:
        for n in range(2_500):
            yield ClientReport(account_id=n % 10, note=str(n))

    handles = await jobs.enqueue_many(payloads(), id=lambda p: p.note)  # type: ignore[attr-defined]

    assert [handle.id for handle in handles] == [str(n) for n in range(2_500)]
    by_key: dict[str | None, list[int]] = {}
    for record, job in await sent_jobs(kafka, prefix):
        by_key.setdefault(job.key, []).append(int(job.id))
        assert record.key is not None
        assert record.partition == partition_of(record.key, 2)
    assert len(by_key) == 10
    assert all(ids == sorted(ids) and len(ids) == 250 for ids in by_key.values())


async def test_what_does_not_fit_is_refused_before_it_is_sent(
    jobs: JobClient, kafka: str, prefix: str
) -> None:
    with pytest.raises(PayloadInvalid, match="account_id") as invalid:
        await jobs.enqueue(ClientReport.model_construct(account_id="seven"))  # type: ignore[arg-type]
    assert invalid.value.field == "account_id"
    with pytest.raises(PayloadTooLarge, match=r"\d+ bytes, the limit is 921600"):
        await jobs.enqueue(ClientReport(account_id=1, note="x" * 921_600))
    with pytest.raises(PayloadInvalid, match="ce_source"):
        await jobs.enqueue(ClientPing(), source="x")
    with pytest.raises(PayloadInvalid, match="attempts"):
        await jobs.enqueue(ClientPing(), attempts=0)
    with pytest.raises(PayloadInvalid, match="empty"):
        await jobs.enqueue(ClientPing(), id="")

    assert await sent_jobs(kafka, prefix) == []


async def test_the_largest_payload_passes(jobs: JobClient) -> None:
    payload = ClientReport(account_id=1)
    room = 921_600 - len(payload.model_dump_json())

    await jobs.enqueue(ClientReport(account_id=1, note="x" * room))


async def test_an_unknown_queue_is_an_error_that_says_what_to_do(
    jobs: JobClient, kafka: str, prefix: str
) -> None:
    with pytest.raises(TopicMismatch, match="streams topics apply"):
        await jobs.enqueue_raw("x", "nosuch", {})
    with pytest.raises(TopicMismatch, match="streams topics apply"):
        await jobs.purge("nosuch")

    async with open_admin(kafka) as admin:
        assert f"{prefix}jobs.nosuch" not in await admin.list_topics()


def entry_of(handle: Handle, state: State, *, run: int = 0) -> OpenEntry:
    return OpenEntry(
        job=handle.job,
        state=state,
        time=handle.time,
        generation=0,
        run=run,
        attempts=run,
        arrival=1,
        due=None,
        blocks=True,
        record_key=None,
        headers=(),
        payload=b"{}",
        failure=Failure(type="SMTPError", message="451", trace=""),
    )


def over(handle: Handle, state: State, result: bytes | None = None) -> LedgerRecord:
    return LedgerRecord(
        job=handle.job,
        state=state,
        time=handle.time,
        generation=0,
        run=1,
        attempts=2,
        ended=handle.time,
        result=result,
        reason="because",
    )


async def put(jobs: JobClient, handle: Handle, state: OpenEntry | LedgerRecord | None) -> None:
    producer = await jobs._delivery.producer()
    names = jobs.topics
    if isinstance(state, LedgerRecord):
        topic, (key, value) = names.ledger(handle.queue), encode_ledger(state)
    elif state is not None:
        topic, (key, value) = names.retry(handle.queue), encode_open(state)
    else:
        topic, (key, value) = names.retry(handle.queue), (handle.job.encode(), b"")
    await send(producer, topic, key=key, value=value or None, partition=handle.partition)


async def test_status_follows_the_state_topics(jobs: JobClient) -> None:
    handle = await jobs.enqueue(ClientReport(account_id=7))
    other = await jobs.enqueue(ClientReport(account_id=7))
    assert (await handle.status()).state is State.QUEUED

    await put(jobs, handle, entry_of(handle, State.RETRYING, run=1))
    status = await handle.status()
    assert (status.state, status.run, status.attempt) == (State.RETRYING, 1, 1)
    assert status.error == "SMTPError: 451"

    await put(jobs, handle, over(handle, State.COMPLETED, b'{"sent":true}'))
    await put(jobs, handle, None)
    status = await handle.status()
    assert (status.state, status.attempt, status.result) == (State.COMPLETED, 2, {"sent": True})
    assert (await other.status()).state is State.QUEUED


async def test_result_waits_for_the_end(jobs: JobClient) -> None:
    handle = await jobs.enqueue(ClientReport(account_id=7))
    with pytest.raises(ResultTimeout, match="queued"):
        await handle.result(timeout="500ms")

    waiting = asyncio.create_task(handle.result(timeout="20s"))
    await put(jobs, handle, entry_of(handle, State.RETRYING, run=1))
    await put(jobs, handle, over(handle, State.COMPLETED, b"[1,2]"))

    assert await waiting == [1, 2]
    assert await handle.result(timeout="10s") == [1, 2]


@pytest.mark.parametrize("state", [State.CANCELLED, State.DISCARDED, State.EXPIRED])
async def test_result_of_a_job_that_ended_otherwise(jobs: JobClient, state: State) -> None:
    handle = await jobs.enqueue(ClientReport(account_id=7))
    await put(jobs, handle, over(handle, state))

    with pytest.raises(JobFailed, match="because") as failed:
        await handle.result(timeout="10s")
    assert failed.value.state == state


async def test_result_of_a_dead_job(jobs: JobClient) -> None:
    handle = await jobs.enqueue(ClientReport(account_id=7))
    await put(jobs, handle, entry_of(handle, State.DEAD))

    with pytest.raises(JobFailed, match="451"):
        await handle.result(timeout="10s")


async def test_a_repeated_id_has_the_result_of_the_first(jobs: JobClient) -> None:
    first = await jobs.enqueue(ClientReport(account_id=7), id="once")
    await put(jobs, first, over(first, State.COMPLETED, b'"first"'))

    again = await jobs.enqueue(ClientReport(account_id=7), id="once")

    assert await again.result(timeout="10s") == "first"


async def test_an_id_that_runs_again_waits_for_its_own_result(jobs: JobClient) -> None:
    # given a run that ended so long ago that the id is free again
    first = await jobs.enqueue(ClientReport(account_id=7), id="again")
    ended = replace(over(first, State.COMPLETED, b'"first"'), unique_for_ms=0)
    await put(jobs, first, ended)
    assert await first.result(timeout="10s") == "first"
    # when
    await asyncio.sleep(0.01)  # past its end, by our clock
    again = await jobs.enqueue(ClientReport(account_id=7), id="again")
    # then
    assert (await again.status()).state is State.QUEUED
    waiting = asyncio.create_task(again.result(timeout="20s"))
    await put(jobs, again, over(again, State.COMPLETED, b'"second"'))
    assert await waiting == "second"


async def test_an_id_whose_job_is_dead_for_days_is_found(jobs: JobClient) -> None:
    handle = await jobs.enqueue(ClientReport(account_id=7), id="old")
    days_ago = handle.time - 5 * 86_400_000
    entry = replace(entry_of(handle, State.DEAD), time=days_ago)
    producer = await jobs._delivery.producer()
    key, value = encode_open(entry)
    await producer.send_and_wait(
        jobs.topics.retry("bulk"), value, key, handle.partition, timestamp_ms=days_ago
    )

    again = await jobs.enqueue(ClientReport(account_id=7), id="old")

    assert (await again.status()).state is State.DEAD


async def test_cancel_goes_to_the_command_topic(jobs: JobClient, kafka: str, prefix: str) -> None:
    handle = await jobs.enqueue(ClientReport(account_id=7))

    await handle.cancel("no longer wanted")

    [record] = await read_all(kafka, f"{prefix}jobs.bulk.commands")
    assert record.key is not None
    assert record.value is not None
    command = decode_command(record.key, record.value)
    assert (command.kind, command.job, command.reason) == (
        "cancel",
        handle.job,
        "no longer wanted",
    )
    assert record.partition == handle.partition


async def test_another_time_goes_there_as_well(jobs: JobClient, kafka: str, prefix: str) -> None:
    handle = await jobs.enqueue(ClientReport(account_id=7), delay="1d")
    christmas = datetime(2026, 12, 24, 18, tzinfo=UTC)

    assert await handle.reschedule(run_at=christmas)

    [record] = await read_all(kafka, f"{prefix}jobs.bulk.commands")
    assert record.key is not None
    assert record.value is not None
    command = decode_command(record.key, record.value)
    assert (command.kind, command.job) == ("reschedule", handle.job)
    assert command.due == int(christmas.timestamp()) * 1000
    assert record.partition == handle.partition


async def test_the_ambient_client(jobs: JobClient, kafka: str) -> None:
    async with JobClient(kafka, source="/inner") as inner:
        assert current() is inner
    with pytest.raises(StreamsError, match="not open"):
        await inner.enqueue(ClientPing())


async def test_no_broker_is_an_error_in_time() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="no Kafka broker answered"):
            async with JobClient(f"127.0.0.1:{port}", source="/t", delivery_timeout="1s"):
                pass
        assert time.monotonic() - started < 4


async def test_a_broker_that_accepts_and_says_nothing_is_an_error_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        async with JobClient(f"127.0.0.1:{port}", source="/t", delivery_timeout="1s"):
            pass
    assert time.monotonic() - started < 6
    server.close()


async def test_the_synchronous_client(jobs: JobClient, kafka: str, prefix: str) -> None:
    def service() -> list[str]:
        with JobClient.sync(kafka, source="/sync", prefix=prefix) as sync:
            sync.emit(ClientSignedUp(user_id=1))
            handle = sync.enqueue(ClientReport(account_id=7), id="one")
            assert handle.status().state is State.QUEUED
            with pytest.raises(ResultTimeout):
                handle.result(timeout="300ms")
            handle.cancel()
            many = sync.enqueue_many(ClientPing(number=n) for n in range(3))
            return [handle.id, *(h.id for h in many)]

    ids = await asyncio.to_thread(service)

    assert {job.id for _, job in await sent_jobs(kafka, prefix)} == set(ids)
    assert len(await read_all(kafka, f"{prefix}client.signed_up")) == 1


def test_a_synchronous_client_that_is_not_open() -> None:
    sync = JobClient.sync("127.0.0.1:1", source="/sync")
    with pytest.raises(StreamsError, match=r"with JobClient\.sync"):
        sync.enqueue(ClientPing())


def test_a_synchronous_client_for_a_whole_process(
    kafka: str, prefix: str, wanted: list[TopicSpec]
) -> None:
    asyncio.run(create(kafka, wanted))
    sync = JobClient.sync(kafka, source="/sync", prefix=prefix)

    sync.open()
    sync.open()  # as every worker of a server does, whoever came first
    handle = sync.enqueue(ClientPing())
    sync.close()
    sync.close()

    with pytest.raises(StreamsError, match=r"with JobClient\.sync"):
        handle.status()
    sync.open()
    assert sync.enqueue(ClientPing()).status().state is State.QUEUED
    sync.close()


async def create(kafka: str, wanted: list[TopicSpec]) -> None:
    async with open_admin(kafka) as admin:
        await apply_topics(admin, wanted)


FORKS = """
import os, sys
from streams.client import JobClient
from streams.contracts import JobPayload
from streams.errors import StreamsError

class Ping(JobPayload, name="client.ping", queue="bulk"):
    number: int = 0

jobs = JobClient.sync(sys.argv[1], source="/fork", prefix=sys.argv[2])
jobs.open()
sent = [jobs.enqueue(Ping()).id]
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    try:
        jobs.enqueue(Ping())
    except StreamsError as error:
        os.write(writing, f"{error}\\n".encode())
    jobs.open()
    os.write(writing, jobs.enqueue(Ping()).id.encode())
    jobs.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(os.read(reading, 10_000).decode())
print(jobs.enqueue(Ping()).id)
jobs.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_synchronous_client_after_a_fork(
    kafka: str, prefix: str, wanted: list[TopicSpec]
) -> None:
    asyncio.run(create(kafka, wanted))

    done = subprocess.run(
        [sys.executable, "-c", FORKS, kafka, prefix],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    said, in_child, in_parent = done.stdout.splitlines()
    assert said.startswith("this client was opened before a fork; open it in the child")
    assert in_child != in_parent
    assert len(asyncio.run(sent_jobs(kafka, prefix))) == 3


# Topics


async def test_topics_are_created_once_by_many(kafka: str, wanted: list[TopicSpec]) -> None:
    async def start_worker() -> None:
        async with open_admin(kafka) as admin:
            await apply_topics(admin, wanted)

    await asyncio.gather(*(start_worker() for _ in range(4)))

    async with open_admin(kafka) as admin:
        assert {change.verdict for change in await plan_topics(admin, wanted)} == {Verdict.OK}


async def test_every_mismatch_is_named_with_its_remedy(
    kafka: str, prefix: str, wanted: list[TopicSpec]
) -> None:
    names = TopicNames(prefix)
    wrong = [
        TopicSpec(name=names.queue("bulk"), partitions=3, role=wanted[0].role),
        TopicSpec(
            name=names.retry("bulk"),
            partitions=2,
            role=wanted[0].role,
            config={"cleanup.policy": "delete"},
        ),
        TopicSpec(name=names.event("client.signed_up"), partitions=5, role=wanted[-1].role),
    ]
    async with open_admin(kafka) as admin:
        await apply_topics(admin, wrong)
        with pytest.raises(TopicMismatch) as mismatch:
            await apply_topics(admin, wanted)
        existing = await admin.list_topics()

    text = str(mismatch.value)
    assert f"{prefix}jobs.bulk: found 3 partition(s)" in text
    assert "STREAMS_PARTITIONS=3" in text
    assert f"{prefix}jobs.bulk.retry: found cleanup.policy=delete" in text
    assert "kafka-configs.sh" in text
    assert "client.signed_up" not in text
    assert names.ledger("bulk") not in existing


async def test_other_settings_are_made_ours_and_foreign_ones_stay(
    kafka: str, prefix: str, wanted: list[TopicSpec]
) -> None:
    queue = next(spec for spec in wanted if spec.name == TopicNames(prefix).queue("bulk"))
    foreign = {"cleanup.policy": "delete", "retention.ms": "1000", "compression.type": "zstd"}
    async with open_admin(kafka) as admin:
        await apply_topics(
            admin, [TopicSpec(name=queue.name, partitions=2, role=queue.role, config=foreign)]
        )
        assert [c.verdict for c in await plan_topics(admin, [queue])] == [Verdict.ALTER]
        await apply_topics(admin, [queue])

        # What was altered reaches every broker a little later.
        kept = TopicSpec(
            name=queue.name,
            partitions=2,
            role=queue.role,
            config={**queue.config, "compression.type": "zstd"},
        )
        async with asyncio.timeout(10):
            while [c.verdict for c in await plan_topics(admin, [kept])] != [Verdict.OK]:
                await asyncio.sleep(0.05)
