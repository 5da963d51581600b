"""Dead letters as they stand in their topic: what failed, why, and the original bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.wire import headers as h
from streams.wire.envelope import Record
from streams.wire.partition import partition_of
from streams.wire.times import LATEST
from streams.wire.topics import TopicNames

_DIGITS_MAX: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where the job of a letter goes on, as a new one with its id; `key` has its scope."""

    queue: str
    name: str
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One job that gave up, or one record that nobody could read; times in ms since the epoch."""

    key: bytes  # of the letter: one for each generation of a job
    queue: str  # empty if an event could not be read
    job: JobKey | None  # None: it could never be decoded
    generation: int
    attempts: int
    error: str
    message: str
    trace: str
    first_failure: int
    last_failure: int
    origin: tuple[str, int, int]  # topic, partition, offset
    worker: str  # that gave it up
    version: str  # of that worker
    place: tuple[int, int]  # partition and offset in the dead-letter topic
    record_key: bytes | None
    payload: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]  # the original ones
    edited: bytes | None = None  # the payload that it is to go on with
    moves: Move | None = None  # where it is to go on

    @property
    def id(self) -> str:
        """By what an operator asks for it: the job's id, or the place it was read from."""
        return self.key.decode(errors="replace") if self.job is None else self.job.id

    @property
    def lane(self) -> tuple[str, bytes] | None:
        """What runs one after the other with it: its queue and key; None if nothing does."""
        if self.job is None or self.job.ordering_key is None or self.record_key is None:
            return None
        return self.queue, self.record_key

    @property
    def name(self) -> str:
        """The job's name, or nothing."""
        return "" if self.job is None else self.job.name

    def partition(self, names: TopicNames, partitions: int) -> int:
        """The partition of its queue that holds its state."""
        topic, partition, _ = self.origin
        # What has no order stays where it was read; of a key all is where the key belongs.
        is_keyed = self.job is not None and self.job.ordering_key is not None
        is_here = topic == names.queue(self.queue) and partition < partitions
        if self.record_key is not None and (is_keyed or not is_here):
            return partition_of(self.record_key, partitions)
        return partition if partition < partitions else 0


def letter_from(record: Record) -> Letter:
    """The letter that a record of the dead-letter topic is.

    Raises:
        UndecodableRecord: it is not one.
    """
    ours = {name: value for name, value in record.headers if name.startswith(h.DEAD_PREFIX)}
    if record.key is None or record.value is None or h.DEAD_TOPIC not in ours:
        raise UndecodableRecord(
            f"{record.topic}/{record.partition}/{record.offset} is not a dead letter"
        )

    def text(name: str) -> str:
        return (ours.get(name) or b"").decode(errors="replace")

    def number(name: str, otherwise: int = 0) -> int:
        found = ours.get(name) or b""
        if len(found) > _DIGITS_MAX:
            raise ValueError(f"{name} is out of range")
        value = int(found or otherwise)
        if not 0 <= value <= LATEST:
            raise ValueError(f"{name} is out of range")
        return value

    try:
        state_key = ours.get(h.DEAD_STATE_KEY)
        return Letter(
            key=record.key,
            queue=text(h.DEAD_QUEUE),
            job=None if state_key is None else JobKey.decode(state_key),
            generation=number(h.DEAD_GENERATION),
            attempts=number(h.DEAD_ATTEMPTS),
            error=text(h.DEAD_ERROR),
            message=text(h.DEAD_MESSAGE),
            trace=text(h.DEAD_TRACE),
            first_failure=number(h.DEAD_FIRST_FAILURE, record.timestamp),
            last_failure=number(h.DEAD_LAST_FAILURE, record.timestamp),
            origin=(
                text(h.DEAD_TOPIC),
                number(h.DEAD_PARTITION),
                number(h.DEAD_OFFSET),
            ),
            worker=text(h.DEAD_WORKER),
            version=text(h.DEAD_VERSION),
            place=(record.partition, record.offset),
            record_key=ours.get(h.DEAD_KEY),
            payload=None if h.DEAD_NULL_VALUE in ours else record.value,
            headers=tuple((name, value) for name, value in record.headers if name not in ours),
        )
    except ValueError as error:
        raise UndecodableRecord(
            f"{record.topic}/{record.partition}/{record.offset} is not a dead letter: {error}"
        ) from None
