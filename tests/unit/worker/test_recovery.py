"""A partition's local state is brought up to its topics before it starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence

import pytest
from parts import NOW, PLACE, entry_of, ledger_of

from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.states import State
from streams.testing.memory import MemoryClock, MemoryLog, MemoryStore
from streams.wire.envelope import Record
from streams.wire.state import encode_ledger, encode_open
from streams.worker.ports import Append
from streams.worker.recovery import STALE_AFTER_MS, Recovery, recover
from streams.worker.tables import COMMANDS_READ, COMMITTED, META, OPEN, Tables

ONE = JobKey(name="step", ordering_key="step:1", id="1")
TWO = JobKey(name="step", ordering_key="step:2", id="2")


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(MemoryClock(NOW), partitions=1)


def write(log: MemoryLog, topic: str, key: bytes, value: bytes | None) -> None:
    log.write(Append(topic, 0, key, value))


def tombstones(log: MemoryLog) -> list[bytes | None]:
    return [record.key for record in log.records(PLACE.retry) if record.value is None]


async def recovered(log: MemoryLog, store: MemoryStore | None = None, now: int = NOW) -> Tables:
    tables = Tables(store or MemoryStore())
    await recover(tables, log, PLACE, now)
    return tables


async def test_all_that_the_topics_say_is_there(log: MemoryLog) -> None:
    write(log, PLACE.retry, *encode_open(entry_of(ONE, run=1)))
    write(log, PLACE.retry, *encode_open(entry_of(ONE, run=2)))
    write(log, PLACE.ledger, *encode_ledger(ledger_of(TWO)))
    write(log, PLACE.retry, COMMITTED, b"12")
    write(log, PLACE.retry, COMMANDS_READ, b"3")
    tables = Tables(MemoryStore())
    assert await recover(tables, log, PLACE, NOW) == 5
    assert tables.open(ONE.encode()) == entry_of(ONE, run=2)
    assert tables.ledger(TWO.encode()) == ledger_of(TWO)
    assert (tables.committed(), tables.applied(PLACE.commands)) == (12, 3)
    assert (tables.applied(PLACE.retry), tables.applied(PLACE.ledger)) == (4, 1)
    assert tables.seen() == NOW


async def test_only_what_is_new_is_read(log: MemoryLog) -> None:
    store = MemoryStore()
    write(log, PLACE.retry, *encode_open(entry_of(ONE)))
    await recovered(log, store)
    write(log, PLACE.retry, ONE.encode(), None)
    tables = Tables(store)
    assert await recover(tables, log, PLACE, NOW) == 1
    assert tables.open(ONE.encode()) is None
    assert tables.counts.entries == 0
    assert await recover(Tables(store), log, PLACE, NOW) == 0


async def test_more_than_is_applied_at_once(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.worker.recovery.AT_ONCE", 3)
    jobs = [JobKey(name="step", ordering_key=None, id=str(n)) for n in range(1_000)]
    for each in jobs:
        write(log, PLACE.retry, *encode_open(entry_of(each)))
    for each in jobs[:500]:
        write(log, PLACE.ledger, *encode_ledger(ledger_of(each)))
    tables = await recovered(log)
    assert {entry.job for entry in tables.entries()} == set(jobs[500:])
    assert tables.counts.entries == 500


# -- what a crash left -------------------------------------------------------------------------


@pytest.mark.parametrize("same_disk", [False, True])
async def test_an_entry_whose_job_is_over_is_removed_here_and_in_its_topic(
    log: MemoryLog, same_disk: bool
) -> None:
    store = MemoryStore()
    write(log, PLACE.retry, *encode_open(entry_of(ONE)))
    if same_disk:
        await recovered(log, store)
    write(log, PLACE.ledger, *encode_ledger(ledger_of(ONE)))
    tables = await recovered(log, store)
    assert tables.open(ONE.encode()) is None
    assert tables.ledger(ONE.encode()) == ledger_of(ONE)
    assert tombstones(log) == [ONE.encode()]
    # whoever comes next finds nothing to do
    assert (await recovered(log)).counts.entries == 0
    assert tombstones(log) == [ONE.encode()]


@pytest.mark.parametrize(
    ("entry", "ledger", "is_over"),
    [
        ({"run": 1}, {"run": 1}, True),
        ({"run": 0}, {"run": 1}, True),
        ({"run": 2}, {"run": 1}, False),
        ({"generation": 1, "run": 0}, {"run": 7}, False),  # replayed
        ({"run": 9}, {"generation": 1, "run": 0}, True),
        ({"time": NOW + 1, "run": 0}, {"generation": 3}, False),  # enqueued again
        ({"time": NOW - 1, "run": 9}, {"run": 0}, True),
    ],
)
async def test_the_ledger_wins_over_what_is_not_newer(
    log: MemoryLog, entry: dict[str, int], ledger: dict[str, int], is_over: bool
) -> None:
    write(log, PLACE.ledger, *encode_ledger(ledger_of(ONE, **ledger)))
    write(log, PLACE.retry, *encode_open(entry_of(ONE, **entry)))
    tables = await recovered(log)
    assert (tables.open(ONE.encode()) is None) == is_over
    assert tombstones(log) == ([ONE.encode()] if is_over else [])


async def test_a_recovery_that_ended_half_way_is_finished_by_the_next(log: MemoryLog) -> None:
    class Gone(Exception):
        pass

    class CutLog(MemoryLog):
        async def append(self, records: object) -> list[int]:
            raise Gone

    store = MemoryStore()
    write(log, PLACE.retry, *encode_open(entry_of(ONE)))
    write(log, PLACE.ledger, *encode_ledger(ledger_of(ONE)))
    cut = CutLog(MemoryClock(NOW), partitions=1)
    cut.topics = log.topics
    with pytest.raises(Gone):
        await recovered(cut, store)
    # the store reflects both topics by now, and yet the entry goes
    tables = await recovered(log, store)
    assert tables.open(ONE.encode()) is None
    assert tombstones(log) == [ONE.encode()]
    assert not tables.is_being_recovered()


class Cut(Exception):
    """What ends a recovery in the middle."""


class CutLog(MemoryLog):
    """Hands over a part of the retry topic, and no more."""

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        async for records in super().read(topic, partition, start):
            yield records[: len(records) // 2]
            raise Cut


def cut(log: MemoryLog) -> CutLog:
    """The same topics, until it is cut off."""
    cut = CutLog(MemoryClock(NOW), partitions=1)
    cut.topics = log.topics
    return cut


@pytest.fixture
def built_without_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.worker.recovery.BUILT_FROM", 1)
    monkeypatch.setattr("streams.worker.recovery.AT_ONCE", 2)


@pytest.mark.usefixtures("built_without_log")
async def test_what_a_crash_left_of_a_store_that_was_being_built_is_not_used(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_many(log)
    write(log, PLACE.ledger, *encode_ledger(ledger_of(TWO)))
    store = MemoryStore()
    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(Tables, "be_built", lambda self: None)  # it is killed before
        await recovered(cut(log), store)
    store.crash()
    assert store.get(META, PLACE.retry.encode()) or list(store.scan(OPEN, b"", None))
    tables = await recovered(log, store)
    assert len(list(tables.entries())) == tables.counts.entries == MANY
    assert tables.ledger(TWO.encode()) == ledger_of(TWO)
    # from then on nothing is at risk
    store.crash()
    assert await recover(Tables(store), log, PLACE, NOW) == 0


@pytest.mark.usefixtures("built_without_log")
async def test_a_store_whose_building_was_called_off_goes_on_where_it_was(log: MemoryLog) -> None:
    write_many(log)
    store = MemoryStore()
    with pytest.raises(Cut):
        await recovered(cut(log), store)
    store.crash()
    read = Tables(store).applied(PLACE.retry)
    assert 0 < read < MANY
    assert await recover(Tables(store), log, PLACE, NOW) == MANY - read


# -- what cannot be used -----------------------------------------------------------------------


async def test_what_cannot_be_read_is_skipped_and_told(log: MemoryLog) -> None:
    write(log, PLACE.retry, b"no job", b"junk")
    write(log, PLACE.retry, TWO.encode(), b"junk")
    write(log, PLACE.retry, *encode_open(entry_of(ONE)))
    write(log, PLACE.retry, COMMITTED, b"many")
    write(log, PLACE.ledger, TWO.encode(), b"junk")
    told: list[LifecycleEvent] = []
    tables = Tables(MemoryStore())
    await recover(tables, log, PLACE, NOW, told.append)
    assert [entry.job for entry in tables.entries()] == [ONE]
    assert tables.ledger(TWO.encode()) is None
    assert tables.committed() == 0
    assert {event.happening for event in told} == {Happening.UNDECODABLE}
    assert len(told) == 4
    assert any(f"{PLACE.retry}/0@1" in (event.error or "") for event in told)
    # and it is not read again
    assert await recover(Tables(tables.store), log, PLACE, NOW) == 0


@pytest.mark.parametrize("is_stale", [False, True])
async def test_state_that_is_older_than_tombstones_is_rebuilt(
    log: MemoryLog, is_stale: bool
) -> None:
    store = MemoryStore()
    write(log, PLACE.retry, *encode_open(entry_of(ONE)))
    write(log, PLACE.retry, *encode_open(entry_of(TWO)))
    await recovered(log, store)
    # given a tombstone that compaction has removed, with what it was for
    log.topics[(PLACE.retry, 0)] = log.topics[(PLACE.retry, 0)][:1]
    log.write(Append(PLACE.retry, 0, COMMITTED, b"5"))
    tables = await recovered(log, store, NOW + STALE_AFTER_MS + is_stale)
    assert (tables.open(TWO.encode()) is None) == is_stale
    assert tables.open(ONE.encode()) == entry_of(ONE)
    assert tables.counts.entries == (1 if is_stale else 2)


async def test_state_of_topics_that_were_made_anew_is_rebuilt(log: MemoryLog) -> None:
    store = MemoryStore()
    for each in (ONE, TWO):
        write(log, PLACE.retry, *encode_open(entry_of(each)))
    await recovered(log, store)
    log.topics.clear()
    write(log, PLACE.retry, *encode_open(entry_of(TWO, state=State.DEAD)))
    tables = await recovered(log, store)
    assert [entry.job for entry in tables.entries()] == [TWO]
    assert tables.applied(PLACE.retry) == 1


async def test_an_end_that_compaction_emptied_is_reflected_all_the_same(log: MemoryLog) -> None:
    write(log, PLACE.retry, *encode_open(entry_of(ONE)))

    class CompactedLog(MemoryLog):
        async def end(self, topic: str, partition: int) -> int:
            return await super().end(topic, partition) + 10

    compacted = CompactedLog(MemoryClock(NOW), partitions=1)
    compacted.topics = log.topics
    tables = await recovered(compacted)
    assert (tables.applied(PLACE.retry), tables.applied(PLACE.ledger)) == (11, 10)


# -- other work meanwhile ----------------------------------------------------------------------


class Turns:
    """Counts how often others got their turn while something goes on."""

    def __init__(self) -> None:
        self.count = 0

    async def during(self, work: Awaitable[object]) -> int:
        async def take() -> None:
            while True:
                self.count += 1
                await asyncio.sleep(0)

        others = asyncio.create_task(take())
        await asyncio.sleep(0)
        before = self.count
        await work
        others.cancel()
        return self.count - before


MANY = 50


@pytest.fixture
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.worker.recovery.AT_ONCE", 2)


def write_many(log: MemoryLog) -> None:
    for n in range(MANY):
        job = JobKey(name="step", ordering_key=None, id=str(n))
        write(log, PLACE.retry, *encode_open(entry_of(job)))


@pytest.mark.usefixtures("in_small_steps")
async def test_others_get_their_turn_while_a_recovery_that_was_cut_off_begins_again(
    log: MemoryLog,
) -> None:
    write_many(log)
    store = MemoryStore()
    first = Recovery(Tables(store), PLACE, lambda event: None)
    await first.begin(log, NOW)
    await first.catch_up(log)
    second = Recovery(Tables(store), PLACE, lambda event: None)
    assert second.tables.is_being_recovered()
    assert await Turns().during(second.begin(log, NOW)) >= MANY / 2


async def test_a_clearing_that_was_cut_off_is_done_by_whoever_opens_the_store_next(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_many(log)
    store = MemoryStore()
    tables = await recovered(log, store)
    log.topics.clear()

    def die(table: str) -> None:
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(store, "clear", die)
        await Recovery(tables, PLACE, lambda event: None).begin(log, NOW)
    assert list(store.scan(OPEN, b"", None))
    # what is left is not taken for state, although the topics have as many records again
    write(log, PLACE.retry, *encode_open(entry_of(ONE)))
    for n in range(2 * MANY):
        write(log, PLACE.retry, COMMITTED, b"%d" % n)
    tables = await recovered(log, store)
    assert [entry.job for entry in tables.entries()] == [ONE]
    assert tables.counts.entries == 1
