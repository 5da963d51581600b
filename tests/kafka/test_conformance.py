"""One suite for both sets of adapters: what the pipeline relies on holds in memory and for real."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from streams.kafka.log import KafkaLog
from streams.kafka.store import RocksStore
from streams.testing.memory import MemoryClock, MemoryLog, MemoryStore
from streams.wire.admin import apply_topics, open_admin
from streams.wire.topics import Role, TopicSpec
from streams.worker.ports import Append, Change, Log, Store


@pytest.fixture(params=["memory", "rocksdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "kafka"])
async def log(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[tuple[Log, str]]:
    topic = f"{prefix}conformance"
    if request.param == "memory":
        yield MemoryLog(MemoryClock(), 2), topic
        return
    kafka: str = request.getfixturevalue("kafka")
    async with open_admin(kafka) as admin:
        await apply_topics(admin, [TopicSpec(name=topic, partitions=2, role=Role.EVENT)])
    real = KafkaLog(kafka, "conformance")
    await real.start()
    yield real, topic
    await real.stop()


def test_a_store_reads_what_was_written_and_forgets_what_was_removed(store: Store):
    store.write([Change("open", b"a", b"1"), Change("ledger", b"a", b"2")])
    assert store.get("open", b"a") == b"1"
    assert store.get("ledger", b"a") == b"2"
    store.write([Change("open", b"a", None), Change("open", b"missing", None)])
    assert store.get("open", b"a") is None
    assert store.get("ledger", b"a") == b"2"


def test_a_scan_is_ordered_bounded_and_as_it_was_at_the_call(store: Store):
    keys = [b"\x00", b"a", b"a\x00", b"b", b"\xff"]
    store.write([Change("due", key, b"v") for key in reversed(keys)])
    assert [key for key, _ in store.scan("due", b"", None)] == keys
    assert [key for key, _ in store.scan("due", b"a", b"b")] == [b"a", b"a\x00"]
    seen = []
    for key, _ in store.scan("due", b"", None):
        store.write([Change("due", key, None)])
        seen.append(key)
    assert seen == keys


def test_later_changes_of_a_batch_win(store: Store):
    store.write(
        [Change("meta", b"k", b"1"), Change("meta", b"k", None), Change("meta", b"k", b"2")]
    )
    assert store.get("meta", b"k") == b"2"


async def test_appended_records_are_read_back_whole_and_in_order(log: tuple[Log, str]):
    real, topic = log
    sent = [
        Append(topic, 1, b"k%d" % n, None if n == 2 else b"v%d" % n, [("h", b"\xff")])
        for n in range(5)
    ]
    assert list(await real.append(sent)) == [0, 1, 2, 3, 4]
    assert list(await real.append(sent[:1])) == [5]
    assert await real.end(topic, 1) == 6
    read = [record async for batch in real.read(topic, 1, 2) for record in batch]
    assert [record.offset for record in read] == [2, 3, 4, 5]
    assert [record.value for record in read] == [None, b"v3", b"v4", b"v0"]
    assert read[0].key == b"k2"
    assert tuple(read[0].headers) == (("h", b"\xff"),)
    assert [batch async for batch in real.read(topic, 0, 0)] == []


async def test_a_key_chooses_the_same_partition_everywhere(log: tuple[Log, str]):
    real, topic = log
    await real.append([Append(topic, None, b"account:%d" % n, b"") for n in range(20)])
    # Java's default partitioner (murmur2) puts them there.
    memory = MemoryLog(MemoryClock(), 2)
    await memory.append([Append(topic, None, b"account:%d" % n, b"") for n in range(20)])
    for partition in (0, 1):
        assert await real.end(topic, partition) == await memory.end(topic, partition) > 0
