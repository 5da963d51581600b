"""Rows that say when jobs of a key started, for rates of a key: kept with state, read when needed.

They follow from the histories of entries and ledger records, so recovery makes them anew. A job
whose worker ended without warning counts from when its partition was opened: it may have run until
then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from zlib import crc32

from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.state import AttemptRecord, OpenEntry
from streams.worker.ports import Row, Store

STARTS = "starts"  # name and key, time, job -> nothing
LOOK_EACH = 4  # about each fourth job looks for what is too old

_length = struct.Struct(">I")
_row = struct.Struct(">QI")
_time = struct.Struct(">Q")


def _prefix(name: str, key: str | None) -> bytes:
    of = f"{name}\0{key}".encode()
    return _length.pack(len(of)) + of


def starts_of(entry: OpenEntry) -> Iterator[int]:
    """When attempts of an open job started, in milliseconds since the epoch."""
    yield from _started(entry.history)
    if entry.state is State.RUNNING and entry.due is not None:
        # See `TakeOvers.take_over` and `open_jobs.record_start`.
        yield entry.due if entry.started_by is None else entry.started_by


def _started(history: Iterable[AttemptRecord]) -> Iterator[int]:
    for attempt in history:
        yield attempt.started


def start_rows(store: Store, job: JobKey, times: Iterable[int], per_ms: int) -> Iterator[Row]:
    """What to write of a job's starts; what is older than the window before them is removed.

    To look for that is not for each job: of a key only some rows are left over.
    """
    known = list(times)
    if not known:
        return
    prefix, of_job = _prefix(job.name, job.ordering_key), crc32(job.encode())
    if of_job % LOOK_EACH == 0:
        old = prefix + _time.pack(max(0, max(known) - 2 * per_ms))
        for row, _ in store.scan(STARTS, prefix, old):
            yield STARTS, row, None
    for time in known:
        yield STARTS, prefix + _row.pack(time, of_job), b""


def read_starts(store: Store, name: str, key: str | None, since: int) -> list[int]:
    """When jobs of a key started since then, in order."""
    prefix = _prefix(name, key)
    first = prefix + _time.pack(max(0, since))
    rows = store.scan(STARTS, first, prefix + b"\xff")
    return [int(_row.unpack(row[len(prefix) :])[0]) for row, _ in rows]
