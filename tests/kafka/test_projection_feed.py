"""A projection on a real Kafka: it is built, it follows, and it comes through what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from topics import create_topics

from streams.dev.broker import LocalBroker
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.projection import feed as feeds
from streams.projection import reading
from streams.projection.connecting import connect
from streams.projection.feed import Feed
from streams.projection.file import now_ms, remove
from streams.projection.letters import letter_counts
from streams.projection.listing import Listing
from streams.projection.states import NAMES
from streams.wire.admin import open_admin
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.letters import undecodable_letter
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames

PATIENCE_S = 30
QUEUES = ("default", "bulk")
NOW = now_ms()


class Writer:
    """Writes what clients and workers write, into one partition."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self._producer = producer
        self.names = names

    async def put(self, topic: str, key: bytes, value: bytes | None, headers: Any = ()) -> None:
        await self._producer.send_and_wait(topic, value, key, partition=0, headers=[*headers])

    async def sent(self, id: str, *, queue: str = "default", payload: bytes = b"{}") -> None:
        envelope = Envelope(id=id, name="mail", source="t", time=NOW, payload=payload, queue=queue)
        await self.put(self.names.queue(queue), *encode(envelope))

    async def entry(self, id: str, state: State | None, *, queue: str = "default") -> None:
        job = JobKey(name="mail", ordering_key=None, id=id)
        value = None
        if state is not None:
            entry = OpenEntry(
                job=job,
                state=state,
                time=NOW,
                generation=0,
                run=0,
                attempts=1,
                arrival=0,
                due=None,
                blocks=False,
                record_key=None,
                headers=(),
                payload=b"{}",
            )
            _, value = encode_open(entry)
        await self.put(self.names.retry(queue), job.encode(), value, [("epoch", b"1")])

    async def over(self, id: str, *, queue: str = "default") -> None:
        record = LedgerRecord(
            job=JobKey(name="mail", ordering_key=None, id=id),
            state=State.COMPLETED,
            time=NOW,
            generation=0,
            run=0,
            attempts=1,
            ended=NOW + 5,
        )
        await self.put(self.names.ledger(queue), *encode_ledger(record), [("epoch", b"1")])

    async def commit(self, offset: int, *, queue: str = "default") -> None:
        key, value = b"#committed", str(offset).encode()
        await self.put(self.names.retry(queue), key, value, [("epoch", b"1")])


@asynccontextmanager
async def writing(kafka: str, prefix: str) -> AsyncIterator[Writer]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=2 * 1024 * 1024)
    await producer.start()
    try:
        yield Writer(producer, TopicNames(prefix))
    finally:
        await producer.stop()


@asynccontextmanager
async def projecting(
    kafka: str, prefix: str, path: Path, *queues: str, **more: Any
) -> AsyncIterator[Feed]:
    """A feed that runs."""
    feed = Feed(kafka, TopicNames(prefix), queues or ("default",), path, **more)
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        assert not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(what: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not what():
            await asyncio.sleep(0.02)


def states(path: Path) -> dict[str, str]:
    """By id: the state of each job; nothing while there is no file."""
    try:
        db = connect(path)
    except sqlite3.OperationalError:
        return {}
    try:
        return {id_: NAMES[state] for id_, state in db.execute("select id, state from jobs")}
    except sqlite3.OperationalError:  # it is being made
        return {}
    finally:
        db.close()


async def test_what_came_to_a_topic_that_was_missing_is_there_at_the_next_look(
    kafka: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a projection that was begun before a queue was made, and does not look for it by itself
    monkeypatch.setattr(reading, "_LOOK_EVERY_S", 600.0)
    path = tmp_path / "p.sqlite"
    await create_topics(kafka, prefix, queues=("default",))
    async with writing(kafka, prefix) as writer, projecting(kafka, prefix, path, *QUEUES) as feed:
        await until(lambda: feed.is_built)
        assert feed.missing
        assert await feed.reach_end(PATIENCE_S)
        # when a job is accepted by that queue
        await create_topics(kafka, prefix, queues=QUEUES)
        await writer.sent("1", queue="bulk")
        # then whoever asks for the end of all topics has it
        assert await feed.reach_end(PATIENCE_S)
        assert states(path) == {"1": "queued"}
        assert not feed.missing


@pytest.fixture
async def writer(kafka: str, prefix: str) -> AsyncIterator[Writer]:
    await create_topics(kafka, prefix)
    async with writing(kafka, prefix) as writer:
        yield writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "projection.sqlite"


async def test_it_is_built_follows_and_goes_on_where_it_was(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    # given jobs in topics
    for n in range(20):
        await writer.sent(str(n))
    await writer.over("0")
    await writer.entry("1", State.RETRYING)
    changed: list[str] = []
    async with projecting(
        kafka, prefix, path, on_rows=lambda rows, _: changed.extend(row.id for row in rows)
    ) as feed:
        # when a projection is made, then it has all of them
        await until(lambda: feed.is_built)
        assert states(path) == {
            **{str(n): "queued" for n in range(20)},
            "0": "completed",
            "1": "retrying",
        }
        assert (feed.lag, feed.share, feed.records) == (0, 1.0, 22)
        # and what comes later
        changed.clear()
        await writer.over("1")
        await writer.sent("20")
        await until(lambda: {"1", "20"} <= set(changed))
        assert states(path)["1"] == "completed"
        generation = feed.generation

    # when it is started again, then it reads what is new and nothing else
    await writer.sent("21")
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: "21" in states(path))
        assert feed.records == 1
        assert generation == feed.generation == 1


async def test_it_says_when_it_has_what_is_there_now(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    async with projecting(kafka, prefix, path) as feed:
        assert not await feed.reach_end(0.01)  # it is not connected yet
        await until(lambda: feed.is_connected)
        for n in range(5):
            await writer.sent(str(n))
            assert await feed.reach_end(PATIENCE_S)
            assert str(n) in states(path)


async def test_a_job_without_a_record_is_over_when_its_queue_has_passed_it(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    changed: list[str] = []

    def note(rows: Any, _: Any) -> None:
        changed.extend(f"{row.id} {NAMES[row.state]}" for row in rows)

    async with projecting(kafka, prefix, path, on_rows=note):
        await writer.sent("1")
        await writer.sent("2")
        await writer.entry("3", State.RUNNING)
        await writer.entry("3", None)
        await writer.commit(1)
        await until(lambda: states(path) == {"1": "untold", "2": "queued", "3": "untold"})
        # whoever watches hears of it
        await until(lambda: {"1 untold", "3 untold"} <= set(changed))


async def test_two_projections_side_by_side_have_the_same(
    kafka: str, prefix: str, writer: Writer, tmp_path: Path
) -> None:
    paths = [tmp_path / "1.sqlite", tmp_path / "2.sqlite"]
    async with (
        projecting(kafka, prefix, paths[0]) as one,
        projecting(kafka, prefix, paths[1]) as two,
    ):
        for n in range(10):
            await writer.sent(str(n))
            await writer.over(str(n))
        for feed, path in zip((one, two), paths, strict=True):
            await until(lambda path=path: states(path) == {str(n): "completed" for n in range(10)})
            assert feed.is_connected


async def test_letters_without_a_job_come_and_go(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    strange = Record(writer.names.queue("default"), 0, 0, NOW, b"k", b"?")
    key, value, headers = undecodable_letter(strange, "default", "no id", NOW)
    await writer.put(writer.names.dead, key, value, headers)
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: feed.is_built)
        db = connect(path)
        assert letter_counts(db) == [("default", "UndecodableRecord", 1)]
        await writer.put(writer.names.dead, key, None)
        await until(lambda: letter_counts(db) == [])
        db.close()


async def test_a_file_that_is_removed_is_made_anew_while_it_serves(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    await writer.sent("1")
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: feed.is_built)
        before = connect(path)
        await asyncio.to_thread(remove, path)
        # whoever has it open is answered
        assert [row.id for row in Listing(before).with_id("1")] == ["1"]
        await until(lambda: feed.generation == 2)
        await until(lambda: states(path) == {"1": "queued"})
        await writer.sent("2")
        await until(lambda: states(path) == {"1": "queued", "2": "queued"})
        before.close()


async def test_a_file_of_another_version_is_made_anew(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    await writer.sent("1")
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: feed.is_built)
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 1")
        db.execute("delete from jobs")
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: states(path) == {"1": "queued"})
        assert feed.records == 1


async def test_a_topic_that_is_made_anew_makes_the_file_anew(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    for n in range(3):
        await writer.sent(str(n))
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: feed.is_built)
        async with open_admin(kafka) as admin:
            await admin.delete_topics([writer.names.queue("default")])
        await create_topics(kafka, prefix)
        await writer.sent("new")
        await until(lambda: states(path) == {"new": "queued"})


async def test_a_topic_that_was_made_anew_while_nobody_read_makes_the_file_anew(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    for n in range(3):
        await writer.sent(str(n))
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: feed.is_built)
    async with open_admin(kafka) as admin:
        await admin.delete_topics([writer.names.queue("default")])
    await create_topics(kafka, prefix)
    await writer.sent("new")
    async with projecting(kafka, prefix, path):
        await until(lambda: states(path) == {"new": "queued"})


async def test_a_queue_whose_topics_are_missing_holds_up_no_other(
    kafka: str, prefix: str, writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_LOOK_EVERY_S", 0.2)
    await writer.sent("1")
    async with projecting(kafka, prefix, path, "default", "later") as feed:
        await until(lambda: states(path) == {"1": "queued"})
        assert writer.names.queue("later") in feed.missing
        # when they are made, then it reads them
        await create_topics(kafka, prefix, queues=["later"])
        await writer.sent("2", queue="later")
        await until(lambda: states(path) == {"1": "queued", "2": "queued"})
        assert feed.missing == ()
        assert feed.generation == 1


async def test_without_any_topic_it_waits_for_them(
    kafka: str, prefix: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: "streams topics apply" in caplog.text)
        assert not feed.opened.is_set()
        await create_topics(kafka, prefix)
        await until(lambda: feed.is_built)


async def test_it_comes_through_an_outage(tmp_path: Path, prefix: str) -> None:
    with LocalBroker(tmp_path / "broker") as broker:
        await create_topics(broker.bootstrap, prefix)
        path = tmp_path / "projection.sqlite"
        async with projecting(broker.bootstrap, prefix, path) as feed:
            async with writing(broker.bootstrap, prefix) as writer:
                await writer.sent("1")
                await until(lambda: states(path) == {"1": "queued"})
            # when the broker is gone
            await asyncio.to_thread(broker.stop)
            await until(lambda: not feed.is_connected)
            # then what it has is still there, and it says that it can't have the rest
            assert states(path) == {"1": "queued"}
            assert not await feed.reach_end(0.1)
            # when it is back
            await asyncio.to_thread(broker.start)
            async with writing(broker.bootstrap, prefix) as writer:
                await writer.sent("2")
            await until(lambda: set(states(path)) == {"1", "2"})
            assert feed.is_connected
            assert (feed.records, feed.generation) == (2, 1)


async def test_a_write_that_fails_is_done_again(
    kafka: str,
    prefix: str,
    writer: Writer,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with projecting(kafka, prefix, path) as feed:
        await writer.sent("1")
        await until(lambda: states(path) == {"1": "queued"})
        # when the disk is full for a while
        real, failures = feeds.Store.apply, [3]

        def apply(store: Any, batch: Any) -> Any:
            if failures[0]:
                failures[0] -= 1
                raise sqlite3.OperationalError("database or disk is full")
            return real(store, batch)

        monkeypatch.setattr(feeds.Store, "apply", apply)
        await writer.sent("2")
        # then nothing is lost, nor read twice into the file
        await until(lambda: states(path) == {"1": "queued", "2": "queued"})
        assert feed.generation == 1
    assert "database or disk is full; trying again" in caplog.text


async def test_a_file_that_turns_out_to_be_torn_is_made_anew(
    kafka: str, prefix: str, writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with projecting(kafka, prefix, path) as feed:
        await writer.sent("1")
        await until(lambda: states(path) == {"1": "queued"})
        real, failures = feeds.Store.apply, [1]

        def apply(store: Any, batch: Any) -> Any:
            if failures.pop() if failures else 0:
                raise sqlite3.DatabaseError("database disk image is malformed")
            return real(store, batch)

        monkeypatch.setattr(feeds.Store, "apply", apply)
        await writer.sent("2")
        await until(lambda: states(path) == {"1": "queued", "2": "queued"})
        assert feed.generation == 2


async def test_a_mistake_of_its_own_is_told_whole_and_does_not_end_it(
    kafka: str,
    prefix: str,
    writer: Writer,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mistakes = [ZeroDivisionError("odd")]

    def on_rows(rows: Any, _: Any) -> None:
        if mistakes:
            raise mistakes.pop()

    async with projecting(kafka, prefix, path, on_rows=on_rows):
        await writer.sent("1")
        await until(lambda: not mistakes)
        await writer.sent("2")
        await until(lambda: set(states(path)) == {"1", "2"})
    (told,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert told.exc_info is not None
    assert "mistake" in told.message


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8])
async def test_whenever_it_is_cancelled_it_ends_and_the_file_can_be_gone_on_with(
    kafka: str, prefix: str, writer: Writer, path: Path, delay_s: float
) -> None:
    for n in range(30):
        await writer.sent(str(n))
    feed = Feed(kafka, writer.names, ("default",), path)
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(delay_s)
    task.cancel()
    async with asyncio.timeout(10):
        with suppress(asyncio.CancelledError):
            await task
    assert task.cancelled()
    assert not feed.is_connected
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: len(states(path)) == 30)


async def test_large_payloads_do_not_pile_up(
    kafka: str, prefix: str, writer: Writer, path: Path
) -> None:
    async def send(n: int) -> None:
        await writer.sent(str(n), payload=b"x" * 900_000)

    for start in range(0, 40, 10):
        await asyncio.gather(*(send(n) for n in range(start, start + 10)))
    async with projecting(kafka, prefix, path) as feed:
        await until(lambda: feed.is_built)
        assert len(states(path)) == 40
    assert (await asyncio.to_thread(path.stat)).st_size < 1_000_000
