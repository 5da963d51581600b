"""Dead letters: the original bytes and headers of a job that gave up, and beside them why."""

from __future__ import annotations

from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.version import VERSION
from streams.wire import headers as h
from streams.wire.envelope import Record
from streams.wire.state import OpenEntry


def letter_key(job: JobKey, queue: str, generation: int) -> bytes:
    """A dead letter's key: one letter for each generation of a job; one id in two queues is two."""
    return job.encode() + f"#{queue}/{generation}".encode()


def letter_of(
    entry: OpenEntry, queue: str, worker: str = ""
) -> tuple[bytes, bytes, list[tuple[str, bytes | None]]]:
    """The dead letter of a dead entry: its original bytes and headers, and why; by this worker."""
    failure = entry.failure or Failure(type="", message=entry.reason, trace="")
    ended = entry.failed_at
    ours = [
        (h.DEAD_QUEUE, queue),
        (h.DEAD_JOB, entry.job.name),
        (h.DEAD_ID, entry.job.id),
        (h.DEAD_GENERATION, str(entry.generation)),
        (h.DEAD_ATTEMPTS, str(entry.attempts)),
        (h.DEAD_ERROR, failure.type),
        (h.DEAD_MESSAGE, failure.message),
        (h.DEAD_TRACE, failure.trace),
        (h.DEAD_FIRST_FAILURE, str(entry.first_failure or ended)),
        (h.DEAD_LAST_FAILURE, str(ended)),
        (h.DEAD_TOPIC, entry.origin[0]),
        (h.DEAD_PARTITION, str(entry.origin[1])),
        (h.DEAD_OFFSET, str(entry.origin[2])),
        (h.DEAD_STATE_KEY, entry.job.encode().decode()),
        (h.DEAD_WORKER, worker),
        (h.DEAD_VERSION, VERSION),
    ]
    headers = [*entry.headers, *((name, value.encode()) for name, value in ours)]
    if entry.record_key is not None:
        headers.append((h.DEAD_KEY, entry.record_key))
    return letter_key(entry.job, queue, entry.generation), entry.payload, headers


def undecodable_letter(
    record: Record, queue: str, why: str, now: int, worker: str = ""
) -> tuple[bytes, bytes, list[tuple[str, bytes | None]]]:
    """The dead letter of a record that could not be read, keyed by where it came from."""
    ours = [
        (h.DEAD_QUEUE, queue),
        (h.DEAD_ERROR, "UndecodableRecord"),
        (h.DEAD_MESSAGE, why),
        (h.DEAD_ATTEMPTS, "0"),
        (h.DEAD_FIRST_FAILURE, str(now)),
        (h.DEAD_LAST_FAILURE, str(now)),
        (h.DEAD_TOPIC, record.topic),
        (h.DEAD_PARTITION, str(record.partition)),
        (h.DEAD_OFFSET, str(record.offset)),
        (h.DEAD_WORKER, worker),
        (h.DEAD_VERSION, VERSION),
    ]
    headers = [*record.headers, *((name, value.encode()) for name, value in ours)]
    if record.key is not None:
        headers.append((h.DEAD_KEY, record.key))
    if record.value is None:  # a letter without a value would be a tombstone
        headers.append((h.DEAD_NULL_VALUE, b"1"))
    key = f"{record.topic}/{record.partition}/{record.offset}".encode()
    return key, record.value or b"", headers
