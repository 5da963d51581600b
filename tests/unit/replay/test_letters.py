"""Dead letters: what is read is what was written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.replay.letters import Letter, letter_from
from streams.version import VERSION
from streams.wire import headers as h
from streams.wire.envelope import Record
from streams.wire.letters import letter_of, undecodable_letter
from streams.wire.partition import partition_of
from streams.wire.state import OpenEntry
from streams.wire.topics import TopicNames

NAMES = TopicNames("p.")
JOB = JobKey(name="mail", ordering_key="mail:7", id="a")
ENTRY = OpenEntry(
    job=JOB,
    state=State.DEAD,
    time=1_000,
    generation=2,
    run=1,
    attempts=3,
    arrival=5,
    due=None,
    blocks=False,
    record_key=b"mail:7",
    headers=((h.CE_ID, b"a"), ("foreign", b"\xff")),
    payload=b'{"n":1}',
    failure=Failure(type="ValueError", message="no", trace="Traceback"),
    first_failure=2_000,
    origin=("p.jobs.critical", 3, 17),
)


def record_of(
    written: tuple[bytes, bytes | None, list[tuple[str, bytes]]], topic: str = NAMES.dead
) -> Record:
    key, value, headers = written
    return Record(topic, 0, 0, 9_000, key, value, tuple(headers))


def letter(entry: OpenEntry = ENTRY) -> Letter:
    return letter_from(record_of(letter_of(entry, "critical", "host-1")))


def test_a_letter_is_read_as_it_was_written() -> None:
    read = letter()
    assert (read.job, read.id, read.name, read.queue) == (JOB, "a", "mail", "critical")
    assert (read.generation, read.attempts, read.first_failure) == (2, 3, 2_000)
    assert (read.error, read.message, read.trace) == ("ValueError", "no", "Traceback")
    assert (read.payload, read.headers) == (ENTRY.payload, ENTRY.headers)
    assert (read.record_key, read.origin) == (b"mail:7", ENTRY.origin)
    assert (read.worker, read.version, read.place) == ("host-1", VERSION, (0, 0))
    assert read.lane == ("critical", b"mail:7")


@pytest.mark.parametrize("value", [b"junk", None])
def test_what_could_not_be_decoded_keeps_its_bytes(value: bytes | None) -> None:
    foreign = Record("p.jobs.critical", 1, 4, 0, None, value, (("x", b"\x00"),))
    read = letter_from(record_of(undecodable_letter(foreign, "critical", "no id", 5)))
    assert read.job is None
    assert read.id == "p.jobs.critical/1/4"
    assert (read.record_key, read.payload, read.headers) == (None, value, foreign.headers)


def test_state_is_looked_for_where_the_job_was_read() -> None:
    loose = letter(replace(ENTRY, job=replace(JOB, ordering_key=None), record_key=b"a"))
    assert loose.partition(NAMES, 8) == 3
    assert loose.partition(NAMES, 2) == partition_of(b"a", 2)
    assert letter().partition(NAMES, 8) == partition_of(b"mail:7", 8)
    moved = letter(replace(ENTRY, origin=("old.jobs.critical", 3, 17)))
    assert moved.partition(NAMES, 8) == partition_of(b"mail:7", 8)


@pytest.mark.parametrize("number", ["9" * 5_000, "99999999999999999", "-1", "x"])
@pytest.mark.parametrize("header", [h.DEAD_OFFSET, h.DEAD_LAST_FAILURE, h.DEAD_GENERATION])
def test_a_number_that_makes_no_sense_makes_no_letter(header: str, number: str) -> None:
    key, value, headers = letter_of(ENTRY, "critical")
    odd = [(name, number.encode() if name == header else text) for name, text in headers]
    with pytest.raises(UndecodableRecord, match="not a dead letter"):
        letter_from(record_of((key, value, odd)))


def test_a_record_that_is_no_letter_is_refused() -> None:
    with pytest.raises(UndecodableRecord, match="not a dead letter"):
        letter_from(record_of((b"k", b"v", [])))
