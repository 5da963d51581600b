"""What is counted with a partition's state is there after a crash, and after its disk is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from parts import NOW, PLACE, entry_of, ledger_of

from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.testing.memory import MemoryClock, MemoryLog, MemoryStore
from streams.wire.state import encode_ledger, encode_open
from streams.worker.ports import Append
from streams.worker.recovery import recover
from streams.worker.settlement import Settlement, epoch_headers
from streams.worker.sums import SUMS, Sums, decode, unpack
from streams.worker.tables import Tables


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(MemoryClock(NOW), partitions=1)


def _job(n: int) -> JobKey:
    return JobKey(name="step", ordering_key=None, id=str(n))


def _end(settlement: Settlement, n: int, state: State = State.COMPLETED) -> None:
    record = replace(ledger_of(_job(n)), state=state)
    settlement.end(_job(n).encode(), record, was_open=False, lane=None)
    settlement.finished.append(n)


def _open(settlement: Settlement, n: int) -> None:
    settlement.open(entry_of(_job(n)), None)
    settlement.finished.append(n)


async def _settled(log: MemoryLog, tables: Tables) -> None:
    """Four jobs are over, one is open, one left no record, and two records are no jobs."""
    settlement = Settlement(at=NOW, epoch=1)
    for n, state in enumerate((State.COMPLETED, State.COMPLETED, State.EXPIRED, State.CANCELLED)):
        _end(settlement, n, state)
    _open(settlement, 4)
    settlement.leave(_job(5).encode(), was_open=False, lane=None)
    settlement.finished += [5, 6, 7]
    settlement.copies, settlement.undecodable = 1, 1
    settlement.epoch = max(settlement.epoch, tables.epoch(PLACE.retry))
    await settlement.write(log, tables, PLACE)


COUNTED = Sums(
    accepted=6,
    completed=2,
    expired=1,
    cancelled=1,
    unrecorded=1,
    duplicates=1,
    undecodable=1,
)


def _told(tables: Tables) -> dict[str, int]:
    assert tables.unaccounted == 0
    return tables.sums.told()


async def test_all_that_a_turn_decides_is_counted_with_it(log: MemoryLog):
    store = MemoryStore()
    await _settled(log, Tables(store))
    tables = Tables(store)  # as whoever opens it next
    assert _told(tables) == COUNTED.told()
    assert tables.told_sums()["pending"] == 1


async def test_what_was_settled_and_not_counted_before_a_crash_is_counted_after_it(log: MemoryLog):
    store = MemoryStore()
    await _settled(log, Tables(store))
    # given two more, of which one was open, and the store does not know it
    for n in (4, 8):
        key, value = encode_ledger(ledger_of(_job(n)))
        log.write(Append(PLACE.ledger, 0, key, value, epoch_headers(1)))
    log.write(Append(PLACE.retry, 0, *encode_open(entry_of(_job(9))), epoch_headers(1)))
    tables = Tables(store)
    await recover(tables, log, PLACE, NOW)
    assert _told(tables) == {**COUNTED.told(), "completed": 4, "accepted": 8}
    # and what a recovery writes again, or reads again, is not counted again
    log.write(Append(PLACE.ledger, 0, key, value, epoch_headers(9)))
    tables = Tables(store)
    await recover(tables, log, PLACE, NOW)
    assert _told(tables) == {**COUNTED.told(), "completed": 4, "accepted": 8}


async def test_one_id_that_ended_twice_as_two_jobs_counts_twice(log: MemoryLog):
    first, second = ledger_of(_job(0)), replace(ledger_of(_job(0)), time=NOW + 1)
    for record in (first, first, second, second):
        log.write(Append(PLACE.ledger, 0, *encode_ledger(record)))
    tables = Tables(MemoryStore())
    await recover(tables, log, PLACE, NOW)
    assert (tables.sums.completed, tables.sums.accepted) == (2, 2)


async def test_a_lost_disk_goes_on_from_the_copy_in_the_retry_topic(log: MemoryLog):
    tables = Tables(MemoryStore())
    await _settled(log, tables)
    kept = Settlement(at=NOW, epoch=1, keeps_sums=True)
    await kept.write(log, tables, PLACE)
    later = Settlement(at=NOW, epoch=1)
    _end(later, 8, State.DISCARDED)
    await later.write(log, tables, PLACE)
    # given that what was over at the time of the copy has been trimmed
    log.starts[(PLACE.ledger, 0)] = 4
    fresh = Tables(MemoryStore())
    await recover(fresh, log, PLACE, NOW)
    assert _told(fresh) == _told(tables)
    assert fresh.sums.discarded == 1


async def test_a_standby_takes_from_a_copy_what_the_ledger_does_not_say(log: MemoryLog):
    store, owner = MemoryStore(), Tables(MemoryStore())
    await _settled(log, owner)
    await recover(Tables(store), log, PLACE, NOW)  # it has no copy to go on from
    later = Settlement(at=NOW, epoch=1)
    _end(later, 8)
    await later.write(log, owner, PLACE)
    await Settlement(at=NOW, epoch=1, keeps_sums=True).write(log, owner, PLACE)
    follower = Tables(store)
    await recover(follower, log, PLACE, NOW)
    assert _told(follower) == _told(owner)


async def test_a_copy_that_an_earlier_owner_wrote_late_is_overwritten(log: MemoryLog):
    tables = Tables(MemoryStore())
    await Settlement(at=NOW, epoch=2, at_work=True).write(log, tables, PLACE)
    await _settled(log, tables)
    nonsense = Sums(accepted=99).encode(unaccounted=99, ledger=99, retry=9, arrivals_end=0)
    log.write(Append(PLACE.retry, 0, SUMS, nonsense, epoch_headers(1)))
    first = Tables(MemoryStore())
    await recover(first, log, PLACE, NOW)
    last = [r.value for r in log.records(PLACE.retry) if r.key == SUMS][-1]
    assert decode(last or b"").sums.drift == 0
    second = Tables(MemoryStore())
    await recover(second, log, PLACE, NOW)
    for each in (first, second):
        assert each.unaccounted == 0
        assert (each.sums.completed, each.sums.accepted) == (2, 5)


async def test_what_does_not_add_up_does_not_after_a_restart(log: MemoryLog):
    store = MemoryStore()
    tables = Tables(store)
    await _settled(log, tables)
    lost = Settlement(at=NOW, epoch=1, finished=[10])  # and nothing is written about it
    await lost.write(log, tables, PLACE)
    assert tables.unaccounted == 1
    for each in (store, MemoryStore()):
        await Settlement(at=NOW, epoch=1, keeps_sums=True).write(log, tables, PLACE)
        again = Tables(each)
        await recover(again, log, PLACE, NOW)
        assert again.unaccounted == 1


def test_a_copy_says_what_it_is_true_of():
    sums = Sums(accepted=5, completed=3)
    copy = decode(sums.encode(unaccounted=1, ledger=77, retry=88, arrivals_end=9))
    assert copy.sums == replace(sums, drift=1, since=77)
    assert (copy.retry, copy.arrivals_end) == (88, 9)
    assert unpack(copy.sums.pack(), 9) == copy.sums
    assert unpack(None, 9) == Sums(accepted=9)
    for nonsense in (b"", b"[]", b'{"accepted": 1}'):
        with pytest.raises(ValueError):
            decode(nonsense)


def test_the_key_of_the_copy_is_no_job():
    assert SUMS.startswith(b"#")
