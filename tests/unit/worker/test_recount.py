"""What is lost from the topics of state is missed by whoever recovers them from nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from copy import deepcopy
from dataclasses import replace

import orjson
import pytest
from parts import NOW, PLACE, entry_of, ledger_of

from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.testing.memory import MemoryClock, MemoryLog, MemoryStore
from streams.wire.envelope import Record
from streams.wire.state import encode_ledger, encode_open
from streams.worker.ports import Append
from streams.worker.recovery import STALE_AFTER_MS, recover
from streams.worker.settlement import Settlement, epoch_headers, retry_value
from streams.worker.sums import SUMS
from streams.worker.tables import Tables


class _Log(MemoryLog):
    """One that compacts when it is told to."""

    gone: frozenset[tuple[str, int]] = frozenset()

    def compact(self, topic: str, before: int) -> None:
        """Of what is below this offset the last record of each key stays."""
        records = self.topics[(topic, 0)][:before]
        last = {record.key: record.offset for record in records}
        self.gone |= {(topic, r.offset) for r in records if last[r.key] != r.offset}

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        async for records in super().read(topic, partition, start):
            if left := [each for each in records if (topic, each.offset) not in self.gone]:
                yield left


@pytest.fixture
def log() -> _Log:
    return _Log(MemoryClock(NOW), partitions=1)


def _key(n: int) -> bytes:
    return _job(n).encode()


def _job(n: int) -> JobKey:
    return JobKey(name="step", ordering_key=None, id=str(n))


class _Owner:
    """Settles turns of jobs, which arrive in the order of their numbers."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.store = MemoryStore()
        self.tables = Tables(self.store)

    async def turn(
        self,
        *,
        takes: Sequence[int] = (),
        completes: Sequence[int] = (),
        ends: Sequence[int] = (),
        leaves: Sequence[int] = (),
        keeps: Sequence[int] = (),
        copies: bool = False,
    ) -> None:
        """Take jobs over, run others at once, and write again or end what is open."""
        turn = Settlement(at=NOW, epoch=1, keeps_sums=copies)
        for n in (*takes, *keeps):
            turn.open(entry_of(_job(n), arrival=n, run=int(n in keeps)), None)
        for n in (*completes, *ends):
            turn.end(_key(n), ledger_of(_job(n)), was_open=n in ends, lane=None)
        for n in leaves:
            turn.leave(_key(n), was_open=True, lane=None)
        turn.finished += [*takes, *completes]
        await turn.write(self.log, self.tables, PLACE)
        assert self.tables.unaccounted == 0

    async def recovered(self, store: MemoryStore | None = None, now: int = NOW) -> Tables:
        tables = Tables(store or MemoryStore())
        await recover(tables, self.log, PLACE, now)
        return tables


async def _busy(log: MemoryLog) -> _Owner:
    """Jobs of all kinds moved before the copy, with it and after it."""
    owner = _Owner(log)
    await owner.turn(takes=range(10), completes=(10, 11))
    await owner.turn(ends=(0,))
    await owner.turn(takes=(12,), completes=(13,), ends=(1,), copies=True)
    await owner.turn(takes=(14, 15), completes=(16, 17), ends=(2,), leaves=(3,))
    await owner.turn(keeps=(4,), ends=(14,), leaves=(15,))
    return owner


def _remove(log: MemoryLog, *numbers: int) -> None:
    """As somebody does who is not the owner."""
    for n in numbers:
        log.write(Append(PLACE.retry, 0, _key(n), None))


async def test_whatever_moved_since_the_copy_nothing_is_missing(log: MemoryLog):
    owner = await _busy(log)
    for store in (MemoryStore(), owner.store):
        tables = await owner.recovered(store)
        assert tables.unaccounted == 0
        assert tables.told_sums()["pending"] == 7


async def test_what_somebody_removed_is_missing_also_from_a_disk_that_is_there(log: MemoryLog):
    owner = await _busy(log)
    _remove(log, 5, 6, 12)
    for store in (MemoryStore(), owner.store):
        tables = await owner.recovered(store)
        assert tables.unaccounted == 3
        assert tables.sums.accepted - tables.sums.over == 4 + 3
        # and so it stays
        assert (await owner.recovered(store)).unaccounted == 3


async def test_what_retention_took_is_missing(log: MemoryLog):
    owner = _Owner(log)
    await owner.turn(takes=range(5))
    await owner.turn(takes=(5,), copies=True)
    log.starts[(PLACE.retry, 0)] = 3
    assert (await owner.recovered()).unaccounted == 3


async def test_a_crash_in_a_turn_is_no_loss(log: MemoryLog):
    owner = _Owner(log)
    await owner.turn(takes=range(5), copies=True)
    before = {place: len(records) for place, records in log.topics.items()}
    await owner.turn(takes=(7, 8), completes=(9,), ends=(0, 1), leaves=(2,), copies=True)
    whole = {place: list(records) for place, records in log.topics.items()}
    # when it is cut anywhere: entries, then the ledger, then tombstones
    order = [(PLACE.retry, 3), (PLACE.ledger, 3), (PLACE.retry, 3)]
    for steps in range(10):
        left, ends = steps, dict(before)
        for topic, count in order:
            taken = min(left, count)
            ends[(topic, 0)] = ends.get((topic, 0), 0) + taken
            left -= taken
        for place, records in whole.items():
            log.topics[place][:] = records[: ends.get(place, 0)]
        assert (await owner.recovered()).unaccounted == 0, steps


async def test_an_old_copy_says_nothing_as_tombstones_may_be_gone(log: MemoryLog):
    owner = await _busy(log)
    _remove(log, 5)
    assert (await owner.recovered(now=NOW + STALE_AFTER_MS)).unaccounted == 0


async def test_a_copy_behind_which_another_owner_wrote_says_nothing(log: MemoryLog):
    owner = _Owner(log)
    await owner.turn(takes=range(5))
    log.write(Append(PLACE.retry, 0, _key(99), None, epoch_headers(1)))  # late
    await owner.turn(takes=(5,), copies=True)
    tables = await owner.recovered()
    assert tables.unaccounted == 0


async def test_one_id_that_comes_again_is_another_job(log: MemoryLog):
    owner = _Owner(log)
    await owner.turn(takes=(0, 1), copies=True)
    await owner.turn(ends=(0,))
    # given that it is taken over, and ends, as a later job, twice
    for n in (1, 2):
        later = replace(entry_of(_job(0)), time=NOW + n, arrival=10 + n)
        turn = Settlement(at=NOW, epoch=1, finished=[10 + n])
        turn.open(later, None)
        await turn.write(log, owner.tables, PLACE)
        if n == 1:
            turn = Settlement(at=NOW, epoch=1)
            record = replace(ledger_of(_job(0)), time=NOW + 1)
            turn.end(_key(0), record, was_open=True, lane=None)
            await turn.write(log, owner.tables, PLACE)
    assert (await owner.recovered()).unaccounted == 0


async def test_what_left_no_record_is_not_explained_by_a_later_job_with_its_id(log: MemoryLog):
    owner = _Owner(log)
    await owner.turn(takes=(0, 1))
    await owner.turn(copies=True)
    await owner.turn(leaves=(0,))
    turn = Settlement(at=NOW, epoch=1, finished=[10])
    turn.open(replace(entry_of(_job(0)), time=NOW + 1, arrival=10), None)
    await turn.write(log, owner.tables, PLACE)
    turn = Settlement(at=NOW, epoch=1)
    turn.end(_key(0), replace(ledger_of(_job(0)), time=NOW + 1), was_open=True, lane=None)
    await turn.write(log, owner.tables, PLACE)
    assert (await owner.recovered()).unaccounted == 0


@pytest.mark.parametrize("loses_disk", [False, True])
@pytest.mark.parametrize("is_retry_compacted", [False, True])
async def test_of_one_id_that_comes_again_the_first_end_may_have_been_compacted(
    log: _Log, loses_disk: bool, is_retry_compacted: bool
):
    owner = _Owner(log)
    await owner.turn(takes=(0, 1, 2))
    await owner.turn(copies=True)
    store = MemoryStore() if loses_disk else deepcopy(owner.store)
    await owner.turn(ends=(0,))
    # given that it is taken over, and ends, as a later job
    later = replace(entry_of(_job(0)), time=NOW + 1, arrival=10)
    turn = Settlement(at=NOW, epoch=1, finished=[10])
    turn.open(later, None)
    await turn.write(log, owner.tables, PLACE)
    if is_retry_compacted:
        log.compact(PLACE.retry, await log.end(PLACE.retry, 0))
    turn = Settlement(at=NOW, epoch=1)
    turn.end(_key(0), replace(ledger_of(_job(0)), time=NOW + 1), was_open=True, lane=None)
    await turn.write(log, owner.tables, PLACE)
    # and the ledger has one record for both
    log.compact(PLACE.ledger, await log.end(PLACE.ledger, 0))
    assert (await owner.recovered(deepcopy(store))).unaccounted == 0
    # then another one that is gone is missed as soon as that is sure
    _remove(log, 1, 2)
    assert (await owner.recovered(store)).unaccounted in (1, 2)


async def test_a_copy_of_an_older_version_is_taken_and_says_nothing_of_losses(
    log: MemoryLog, caplog: pytest.LogCaptureFixture
):
    owner = await _busy(log)
    copy = orjson.loads(retry_value(owner.tables, PLACE, SUMS) or b"")
    del copy["retry"], copy["arrivals_end"]
    log.write(Append(PLACE.retry, 0, SUMS, orjson.dumps(copy), epoch_headers(1)))
    tables = await owner.recovered()
    assert tables.sums.unrecorded == 2
    assert tables.unaccounted == 0
    assert "can't be read" not in caplog.text


async def _restored(log: MemoryLog) -> tuple[_Owner, Settlement]:
    """A job that was discarded, and what brings it back."""
    owner = _Owner(log)
    await owner.turn(takes=(0, 1))
    turn = Settlement(at=NOW, epoch=1)
    record = replace(ledger_of(_job(0)), state=State.DISCARDED)
    turn.end(_key(0), record, was_open=True, lane=None)
    await turn.write(log, owner.tables, PLACE)
    back = Settlement(at=NOW, epoch=1, restored=[State.DISCARDED])
    entry = entry_of(_job(0), state=State.DEAD, generation=1, restored=NOW)
    back.open(entry, None)
    return owner, back


@pytest.mark.parametrize("loses_disk", [False, True])
@pytest.mark.parametrize("has_copy", [False, True])
async def test_what_was_brought_back_before_a_crash_is_not_over_as_well(
    log: MemoryLog, loses_disk: bool, has_copy: bool
):
    owner, back = await _restored(log)
    if has_copy:
        await owner.turn(copies=True)
    # given a crash before its store knows
    (entry,) = back.opens.values()
    log.write(Append(PLACE.retry, 0, *encode_open(entry), epoch_headers(1)))
    store = MemoryStore() if loses_disk else owner.store
    for _ in range(2):
        tables = await owner.recovered(store)
        assert tables.told_sums() | {"duplicates": 0} == {
            **dict.fromkeys(tables.sums.told(), 0),
            "accepted": 2,
            "dead": 1,
            "pending": 1,
        }
    # and when it is over again, that is one end
    record = replace(ledger_of(_job(0)), generation=1, is_restored=True)
    log.write(Append(PLACE.ledger, 0, *encode_ledger(record), epoch_headers(1)))
    log.write(Append(PLACE.retry, 0, _key(0), None, epoch_headers(1)))
    for each in (store, MemoryStore()):
        tables = await owner.recovered(each)
        assert (tables.sums.completed, tables.sums.discarded) == (1, 0)
        assert (tables.sums.accepted, tables.unaccounted) == (2, 0)


@pytest.mark.parametrize("came_before", [False, True])
async def test_what_was_discarded_and_brought_back_behind_a_store_is_no_end(
    log: _Log, came_before: bool
):
    # given a store that another owner's turns have left behind: there the job is open
    behind = _Owner(log)
    if came_before:  # an earlier job with its id
        turn = Settlement(at=NOW, epoch=1, finished=[0])
        earlier = replace(ledger_of(_job(0)), time=NOW - 9)
        turn.end(_key(0), earlier, was_open=False, lane=None)
        await turn.write(log, behind.tables, PLACE)
    await behind.turn(takes=(0, 1))
    store = deepcopy(behind.store)
    record = replace(ledger_of(_job(0)), state=State.DISCARDED)
    entry = entry_of(_job(0), state=State.DEAD, generation=1, restored=NOW)
    turn = Settlement(at=NOW, epoch=1)
    turn.end(_key(0), record, was_open=True, lane=None)
    await turn.write(log, behind.tables, PLACE)
    back = Settlement(at=NOW, epoch=1, restored=[State.DISCARDED])
    back.open(entry, None)
    await back.write(log, behind.tables, PLACE)
    tables = await behind.recovered(store)
    assert (tables.sums.discarded, tables.unaccounted) == (0, 0)
    assert tables.sums.accepted == 2 + came_before


@pytest.mark.parametrize("copies", [False, True])
async def test_what_was_brought_back_before_the_copy_is_counted_in_it(log: MemoryLog, copies: bool):
    owner, back = await _restored(log)
    await back.write(log, owner.tables, PLACE)
    # given that its entry is written once more, behind the copy
    again = Settlement(at=NOW, epoch=1, keeps_sums=copies)
    entry = entry_of(_job(0), state=State.DEAD, generation=1, restored=NOW)
    again.open(entry, None)
    await again.write(log, owner.tables, PLACE)
    for store in (MemoryStore(), owner.store):
        tables = await owner.recovered(store)
        assert (tables.sums.discarded, tables.sums.accepted) == (0, 2)
        assert tables.unaccounted == 0
