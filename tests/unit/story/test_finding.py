"""Finding a job by its id among everybody's records."""

from __future__ import annotations

from dataclasses import replace

from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.story.finding import Finder
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames

NAMES = TopicNames()
ENVELOPE = Envelope(id="7", name="mail", source="t", time=100, payload=b"{}", key="mail:u")
JOB = JobKey(name="mail", ordering_key="mail:u", id="7")
ENTRY = OpenEntry(
    job=JOB, state=State.RETRYING, time=100, generation=0, run=1, attempts=1, arrival=0, due=200,
    blocks=True, record_key=b"mail:u", headers=(), payload=b"{}",
)  # fmt: skip
OVER = LedgerRecord(
    job=JOB, state=State.COMPLETED, time=100, generation=0, run=1, attempts=2, ended=300,
    result=b"3",
)  # fmt: skip


def finder() -> Finder:
    return Finder(NAMES, ("critical", "bulk"), "7")


def queued(envelope: Envelope, queue: str = "critical") -> Record:
    key, value, headers = encode(envelope)
    return Record(NAMES.queue(queue), 1, 0, 0, key, value, tuple(headers))


def kept(topic: str, key: bytes, value: bytes | None) -> Record:
    return Record(topic, 1, 0, 0, key, value)


def test_a_job_without_state_is_queued() -> None:
    found = finder()
    found.take(queued(replace(ENVELOPE, id="8")))
    found.take(queued(ENVELOPE))
    (one,) = found.found()
    assert (one.job, one.queue, one.partition) == (JOB, "critical", 1)
    assert one.status.state is State.QUEUED


def test_the_latest_state_counts_whatever_was_read_first() -> None:
    found = finder()
    found.take(kept(NAMES.ledger("critical"), *encode_ledger(OVER)))
    found.take(kept(NAMES.retry("critical"), *encode_open(ENTRY)))
    found.take(queued(ENVELOPE))
    (one,) = found.found()
    assert (one.status.state, one.status.result, one.status.attempt) == (State.COMPLETED, 3, 2)


def test_a_tombstone_alone_is_no_job() -> None:
    found = finder()
    found.take(kept(NAMES.retry("critical"), JOB.encode(), None))
    assert found.found() == []


def test_two_jobs_with_one_id_are_two_and_a_name_chooses() -> None:
    found = finder()
    found.take(queued(ENVELOPE))
    found.take(queued(replace(ENVELOPE, name="bill"), queue="bulk"))
    assert {one.job.name for one in found.found()} == {"mail", "bill"}
    assert [one.queue for one in found.found("bill")] == ["bulk"]


def test_records_that_make_no_sense_are_passed_over() -> None:
    found = finder()
    for topic in found.topics:
        found.take(kept(topic, b"#commit", b"7"))
        found.take(kept(topic, JOB.encode(), b"junk"))
    assert found.found() == []
