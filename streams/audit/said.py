"""What single records say, as little of it as an audit needs: plain enough to be put on disk."""

from __future__ import annotations

from typing import NamedTuple

from streams.audit.life import Ending, Entry, read_ending, read_entry
from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.wire.envelope import Record, check_size, decode
from streams.wire.partition import partition_of
from streams.worker.recovery import epoch_of

QUEUED = "queued"
LETTER = "letter"  # of what can't be decoded
FORWARD = "forward"


class Said(NamedTuple):
    """A record of state about a job; without an entry or an ending it is a tombstone."""

    key: bytes
    offset: int
    timestamp: int
    epoch: int  # the ownership under which it was written; 0: it does not say
    time: int = 0  # of the job
    entry: Entry | None = None
    ending: Ending | None = None
    error: str = ""  # why it can't be read


class Queued(NamedTuple):
    """A record of a queue."""

    kind: str  # QUEUED: a job; LETTER: none; FORWARD: one of another partition
    key: bytes
    offset: int
    sent: int  # the broker's time
    time: int = 0
    to: int = -1  # the partition that it belongs to
    is_moved: bool = False  # it was dead in another queue before
    replaces_dead: bool = False  # it runs in the place of a dead job with its id


def said_of_retry(record: Record) -> Said:
    """What a record of the retry topic says."""
    key, value = record.key or b"", record.value
    epoch = epoch_of(record) or 0
    if value is None:
        return Said(key, record.offset, record.timestamp, epoch)
    try:
        time, entry = read_entry(value)
    except UndecodableRecord as error:
        return Said(key, record.offset, record.timestamp, epoch, error=str(error))
    return Said(key, record.offset, record.timestamp, epoch, time, entry)


def said_of_ledger(record: Record) -> Said:
    """What a record of the ledger topic says."""
    key, value = record.key or b"", record.value
    epoch = epoch_of(record) or 0
    if value is None:
        return Said(key, record.offset, record.timestamp, epoch)
    try:
        time, ending = read_ending(value, epoch)
    except UndecodableRecord as error:
        return Said(key, record.offset, record.timestamp, epoch, error=str(error))
    return Said(key, record.offset, record.timestamp, epoch, time, None, ending)


def queued_of(record: Record, partitions: int) -> Queued:
    """What a record of a queue with so many partitions is."""
    try:
        check_size(record)
        envelope = decode(record)
    except UndecodableRecord:
        key = f"{record.topic}/{record.partition}/{record.offset}".encode()
        return Queued(LETTER, key, record.offset, record.timestamp)
    job = JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id)
    kind, to = QUEUED, -1
    if envelope.key is not None and record.key is not None:
        right = partition_of(record.key, partitions)
        if right != record.partition:
            kind, to = FORWARD, right
    is_moved = envelope.moved_from is not None
    sent, time = record.timestamp, envelope.time
    replaces = envelope.replaces_dead
    return Queued(kind, job.encode(), record.offset, sent, time, to, is_moved, replaces)
