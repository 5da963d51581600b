"""One suite for both sets of adapters: what the pipeline relies on holds in memory and for real."""

from __future__ import annotations

import asyncio
import time as real_time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sources import KafkaReading, MemoryReading, Reading, append

from streams.errors import AppendFailed
from streams.kafka import clock as clock_module
from streams.kafka.clock import WallClock
from streams.kafka.log import KafkaLog
from streams.kafka.store import RocksStore
from streams.testing.memory import MemoryClock, MemoryLog, MemoryStore
from streams.wire.admin import apply_topics, open_admin
from streams.wire.envelope import Record
from streams.wire.topics import CONFIGS, Role, TopicSpec
from streams.worker.ports import Alarm, Append, Change, Clock, Log, Store


@pytest.fixture(params=["memory", "rocksdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def role() -> Role:
    """What the topic of `log` is for, unless a test says otherwise."""
    return Role.EVENT


@pytest.fixture(params=["memory", "kafka"])
async def log(
    request: pytest.FixtureRequest, prefix: str, role: Role
) -> AsyncIterator[tuple[Log, str]]:
    topic = f"{prefix}conformance"
    if request.param == "memory":
        yield MemoryLog(MemoryClock(), 2), topic
        return
    kafka: str = request.getfixturevalue("kafka")
    spec = TopicSpec(name=topic, partitions=2, role=role, config=dict(CONFIGS[role]))
    async with open_admin(kafka) as admin:
        await apply_topics(admin, [spec])
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


def test_what_is_written_at_risk_is_read_as_all_else_is_and_kept(store: Store):
    store.write([Change("open", b"a", b"1"), Change("open", b"b", b"1")])
    store.risk()
    store.write([Change("open", b"a", b"2"), Change("open", b"b", None)])
    assert [*store.scan("open", b"", None)] == [(b"a", b"2")]
    store.keep()
    store.write([Change("meta", b"k", b"1")])
    assert [*store.scan("open", b"", None)] == [(b"a", b"2")]
    assert store.get("meta", b"k") == b"1"


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


async def _append_apart(log: Log, topic: str, count: int) -> list[int]:
    """Append so many records to partition 0, each at a time of its own; these times."""
    for n in range(count):
        if isinstance(log, MemoryLog):
            log._clock.set(log._clock.now() + 10)
        else:
            time = Time(WallClock())
            await time.reach(time.clock.now() + 2)  # so that the last one's time is over
        await log.append([Append(topic, 0, b"k", b"v%d" % n)])
    return [r.timestamp for r in await _read(log, topic, 0)][-count:]


async def _read(log: Log, topic: str, start: int) -> list[Record]:
    batches = [list(batch) async for batch in log.read(topic, 0, start)]
    assert all(batches)  # nobody has to expect an empty one
    return [record for batch in batches for record in batch]


async def test_a_time_finds_the_first_record_that_is_not_older(log: tuple[Log, str]):
    real, topic = log
    # given records at times with gaps in between
    times = await _append_apart(real, topic, 4)
    assert times == sorted(set(times))
    # then a record's own time finds it, and the moment after it the next one
    for offset, time in enumerate(times):
        assert await real.offset_at(topic, 0, time) == offset
        later = offset + 1 if offset < 3 else None  # behind the last there is none
        assert await real.offset_at(topic, 0, time + 1) == later
    # what is before the first finds the first, be it before the epoch
    for before in (times[0] - 1, 0, -1):
        assert await real.offset_at(topic, 0, before) == 0
    assert await real.offset_at(topic, 1, 0) is None  # nothing was ever written there


async def test_a_time_finds_nothing_that_was_trimmed(log: tuple[Log, str]):
    real, topic = log
    times = await _append_apart(real, topic, 4)
    await real.trim(topic, 0, 2)
    assert [await real.offset_at(topic, 0, time) for time in (0, times[1], times[3])] == [2, 2, 3]
    await real.trim(topic, 0, 4)
    assert await real.offset_at(topic, 0, 0) is None
    # and what comes then is found again
    (time,) = await _append_apart(real, topic, 1)
    assert await real.offset_at(topic, 0, times[0]) == 4
    assert await real.offset_at(topic, 0, time + 1) is None


@pytest.mark.parametrize("role", [Role.QUEUE, Role.LEDGER])  # a ledger is compacted, too
async def test_trimming_removes_what_is_below_and_moves_no_offset(log: tuple[Log, str]):
    real, topic = log
    await real.append([Append(topic, partition, b"k", b"v") for partition in (0, 1)] * 5)

    async def kept(start: int = 0) -> list[int]:
        assert await real.end(topic, 0) == 5
        return [record.offset for record in await _read(real, topic, start)]

    await real.trim(topic, 0, 0)
    assert await kept() == [0, 1, 2, 3, 4]
    await real.trim(topic, 0, 2)
    assert await kept() == [2, 3, 4]
    assert await kept(1) == [2, 3, 4]  # from within what is gone
    assert await kept(3) == [3, 4]
    # again, or less: nothing comes back
    for before in (2, 1, 0):
        await real.trim(topic, 0, before)
        assert await kept() == [2, 3, 4]
    # the offset behind the last record is the highest that can be asked for
    with pytest.raises(AppendFailed):
        await real.trim(topic, 0, 6)
    assert await kept() == [2, 3, 4]
    for _ in range(2):
        await real.trim(topic, 0, 5)
        assert await kept() == []
    # then the log goes on where it was, and the other partition was never touched
    assert list(await real.append([Append(topic, 0, b"k", b"new")])) == [5]
    assert [(r.offset, r.value) for r in await _read(real, topic, 0)] == [(5, b"new")]
    others = [record async for batch in real.read(topic, 1, 0) for record in batch]
    assert [record.offset for record in others] == [0, 1, 2, 3, 4]


class Time:
    """A clock and its passing: the one is pushed, the other is waited for."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[tuple[str, int]] = []  # the name of each alarm, and how late it was

    def alarm(self, name: str, when: int, then: Callable[[], None] = lambda: None) -> Alarm:
        def called() -> None:
            self.calls.append((name, self.clock.now() - when))
            then()

        return self.clock.call_at(when, called)

    def fresh(self) -> int:
        """The time; at its beginning, so that what is done at once is done within it."""
        before = now = self.clock.now()
        while now == before and not isinstance(self.clock, MemoryClock):
            now = self.clock.now()
        return now

    async def reach(self, when: int) -> None:
        """Return once this time has come and its alarms were called."""
        if isinstance(self.clock, MemoryClock):
            self.clock.set(when)
            return
        come = asyncio.Event()
        self.clock.call_at(when + 1, come.set)  # after all that is to be called at `when`
        await come.wait()

    @property
    def called(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture(params=[MemoryClock, WallClock], ids=["memory", "wall"])
def time(request: pytest.FixtureRequest) -> Time:
    return Time(request.param())


async def test_an_alarm_is_called_once_when_its_time_has_come_and_never_before(time: Time):
    now = time.fresh()
    for ms in (30, 10, 20, 25, 11):
        time.alarm(str(ms), now + ms)
    assert time.called == []
    await time.reach(now + 20)
    assert time.called[:3] == ["10", "11", "20"]
    await time.reach(now + 40)
    assert time.called == ["10", "11", "20", "25", "30"]
    assert all(late >= 0 for _, late in time.calls)


async def test_alarms_for_one_time_are_called_in_the_order_in_which_they_were_set(time: Time):
    while True:
        now = time.fresh()
        alarms = [time.alarm(str(n), now + 20) for n in range(5)]
        if time.clock.now() == now:
            break
        for alarm in alarms:  # the machine was slow: they were not set at one time
            alarm.cancel()
    await time.reach(now + 21)
    assert time.called == ["0", "1", "2", "3", "4"]


async def test_a_time_that_has_passed_is_called_soon_and_not_at_once(time: Time):
    now = time.fresh()
    time.alarm("past", now - 1_000)
    assert time.called == []
    await time.reach(now)
    assert time.called == ["past"]


async def test_an_alarm_that_is_cancelled_is_not_called(time: Time):
    now = time.fresh()
    first = time.alarm("first", now + 10)
    later = time.alarm("later", now + 30)
    time.alarm("canceller", now + 20, later.cancel)
    first.cancel()
    await time.reach(now + 40)
    assert time.called == ["canceller"]
    for alarm in (first, later):
        alarm.cancel()  # again, and after its time: no error


async def test_a_machine_that_sets_its_clock_back_makes_no_call_early(
    monkeypatch: pytest.MonkeyPatch,
):
    step_ns = 0
    stepped = SimpleNamespace(time_ns=lambda: real_time.time_ns() + step_ns)
    monkeypatch.setattr(clock_module, "time", stepped)
    wall = Time(WallClock())
    now = wall.fresh()
    wall.alarm("after the step", now + 20)
    step_ns = -30_000_000
    await wall.reach(now + 20)
    assert [(name, late >= 0) for name, late in wall.calls] == [("after the step", True)]


@pytest.fixture(params=["memory", "kafka"])
async def reading(
    request: pytest.FixtureRequest, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Reading]:
    reading: Reading
    if request.param == "memory":
        reading = MemoryReading(monkeypatch)
    else:
        reading = KafkaReading(request.getfixturevalue("kafka"), prefix, tmp_path)
    await reading.start()
    yield reading
    await reading.stop()


async def test_a_source_hands_over_every_record_once_and_its_successor_goes_on(reading: Reading):
    # every record is handed over once, and in order, whatever the size of the batches
    await append(reading, 0, 300)
    await append(reading, 1, 10)
    assert await reading.read(0, 300) == list(range(300))
    assert await reading.read(1, 10) == list(range(10))

    # a partition that wants no more is not read, and holds back no other
    await reading.hold(0, True)
    await append(reading, 0, 50)
    await append(reading, 1, 10)
    assert await reading.read(1, 10) == list(range(10, 20))
    assert await reading.read(0, 0) == []
    # and goes on from where it was
    await reading.hold(0, False)
    await append(reading, 0, 50)
    assert await reading.read(0, 100) == list(range(300, 400))

    # what was released is committed, and nothing takes it back
    assert await reading.committed() == {}
    await reading.release(0, 350)
    assert await reading.committed() == {0: 350}
    await reading.release(0, 310)
    await reading.release(1, 5)
    assert await reading.committed() == {0: 350, 1: 5}

    # so a successor starts there
    await reading.succeed()
    assert await reading.read(0, 50) == list(range(350, 400))
    assert await reading.read(1, 15) == list(range(5, 20))
    # which has the same promises
    await reading.release(0, 349)
    assert await reading.committed() == {0: 350, 1: 5}
    await append(reading, 0, 1)
    assert await reading.read(0, 1) == [400]
