"""Entries at hand: only what is looked at soon, the latest of them, each lane in its order."""

from __future__ import annotations

from unittest import mock

import pytest
from parts import entry_of

from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.state import AttemptRecord, OpenEntry, head_of
from streams.worker import recent
from streams.worker.recent import Kept, Recent

JOBS = [JobKey(name="step", ordering_key="step:1", id=str(n)) for n in range(4)]
ATTEMPT = AttemptRecord(attempt=1, started=1, ended=2, worker="w", outcome="retrying")


def put(table: Recent, entry: OpenEntry, size: int = 100) -> None:
    table.put(entry.job.encode(), Kept(entry, head_of(entry), size))


def keys(jobs: list[JobKey]) -> list[bytes]:
    return [job.encode() for job in jobs]


@pytest.mark.parametrize("size", [100, 600])
def test_the_oldest_make_way(size: int) -> None:
    table = Recent()
    with mock.patch.multiple(recent, ENTRIES_MAX=3, BYTES_MAX=1_000):
        for arrival, job in enumerate(JOBS):
            put(table, entry_of(job, arrival=arrival), size)
    left = JOBS[1:] if size == 100 else JOBS[3:]
    assert table.lane(b"step:1") == keys(left)
    assert len(table) == table.blocking == len(left)


def test_what_has_started_comes_before_what_waits() -> None:
    table = Recent()
    put(table, entry_of(JOBS[0], state=State.PARKED, arrival=3))
    put(table, entry_of(JOBS[1], state=State.PARKED, arrival=1))
    put(table, entry_of(JOBS[2], state=State.RETRYING, arrival=2))
    assert table.lane(b"step:1") == keys([JOBS[2], JOBS[1], JOBS[0]])


def test_an_entry_that_is_written_again_takes_its_new_place() -> None:
    table = Recent()
    put(table, entry_of(JOBS[0], arrival=1))
    put(table, entry_of(JOBS[1], arrival=2))
    put(table, entry_of(JOBS[0], state=State.PARKED, arrival=1))
    assert table.lane(b"step:1") == keys([JOBS[1], JOBS[0]])
    table.drop(JOBS[0].encode())
    table.drop(JOBS[1].encode())
    assert not table.has_lane(b"step:1")
    assert len(table) == table.blocking == 0


@pytest.mark.parametrize(
    "entry",
    [
        entry_of(JOBS[0], state=State.SCHEDULED, blocks=False),
        entry_of(JOBS[0], history=(ATTEMPT,) * 11),  # of which the store has the last ten
    ],
)
def test_what_waits_for_long_or_is_cut_off_in_the_store_is_not_kept(entry: OpenEntry) -> None:
    table = Recent()
    put(table, entry)
    assert len(table) == 0
