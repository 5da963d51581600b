"""Outlines say what the whole record says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.notes import Notes, Progress
from streams.jobs.outcome import Failure
from streams.jobs.states import OVER, State
from streams.wire.envelope import Envelope, JobOverrides, Record, check_size, decode, encode
from streams.wire.outline import MESSAGE_KEPT, read_open, read_over, read_sent
from streams.wire.state import (
    AttemptRecord,
    LedgerRecord,
    OpenEntry,
    decode_ledger,
    decode_open,
    encode_ledger,
    encode_open,
)
from streams.wire.topics import MAX_JOB_BYTES

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
words = text.filter(bool)
times = st.integers(0, 4_000_000_000_000)
counts = st.integers(0, 9)
failures = st.none() | st.builds(Failure, type=words, message=text | st.just("x" * 500), trace=text)
notes = st.none() | st.builds(
    Notes,
    progress=st.none() | st.builds(Progress, processed=counts, total=st.none() | counts),
    checkpoint=st.none() | st.just("{}"),
)
attempts = st.builds(
    AttemptRecord, attempt=counts, started=times, ended=times, worker=text, outcome=text
)
jobs = st.builds(JobKey, name=words, ordering_key=st.none() | text, id=words)
raw_headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("ce_id", "ce_type", "ce_time", "ce_partitionkey", "ce_notbefore", "ce_parent"),
                *("CE_ID", "Ce_Type", "ce_expires", "ce_options", "ce_source", "ce_queue"),
                *("content-type", "Content-Type", "traceparent", "other", "ce_childof"),
            ]
        ),
        st.none()
        | st.sampled_from(
            [
                *(b"1", b"mail", b"", b"\xff", "é".encode(), b"2026-11-24T02:15:00.000Z"),
                *(b"2026-11-24T02:15:00+01:00", b"never", b"application/json", b"text/plain"),
                b"application/cloudevents+json",
            ]
        ),
    ),
    max_size=8,
)


def sent_of(record: Record) -> object:
    """What the whole record says, or that it can't be read."""
    try:
        check_size(record)
        e = decode(record)
    except UndecodableRecord:
        return None
    return e.name, e.key, e.id, e.time, e.not_before, e.parent


def outline_of(record: Record) -> object:
    try:
        return tuple(read_sent(record))
    except UndecodableRecord:
        return None


def record(headers: object, value: bytes | None = b"{}") -> Record:
    return Record("jobs.default", 0, 3, 1_790_000_000_000, b"k", value, tuple(headers))  # type: ignore[arg-type]


@settings(max_examples=500)
@given(raw_headers, st.sampled_from([b"{}", b"", None, b'{"id":"7","type":"mail"}']))
def test_whatever_comes_as_a_job_is_one_or_not_as_for_a_worker(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    whole = record([("ce_id", b"1"), ("ce_type", b"mail"), *headers], value)
    for each in (whole, record(headers, value)):
        assert outline_of(each) == sent_of(each)


@settings(max_examples=200)
@given(
    st.builds(
        Envelope,
        id=words,
        name=words,
        source=words,
        time=times,
        payload=st.just(b"{}"),
        queue=st.none() | words,
        key=st.none() | text,
        not_before=st.none() | times,
        expires=st.none() | times,
        parent=st.none() | words,
        options=st.none() | st.just(JobOverrides(attempts=3)),
        traceparent=st.none() | st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-01"),
    )
)
def test_a_job_is_read_as_its_client_wrote_it(envelope: Envelope) -> None:
    _, value, headers = encode(envelope)
    whole = record(headers, value)
    assert outline_of(whole) == sent_of(whole) is not None


def test_what_is_too_large_for_a_worker_is_no_job() -> None:
    headers = [("ce_id", b"1"), ("ce_type", b"mail")]
    for size in (900 * 1024, MAX_JOB_BYTES - 10, MAX_JOB_BYTES + 1):
        whole = record(headers, b"x" * size)
        assert outline_of(whole) == sent_of(whole)
    assert outline_of(whole) is None


@settings(max_examples=300)
@given(
    st.builds(
        OpenEntry,
        job=jobs,
        state=st.sampled_from([state for state in State if state not in OVER]),
        time=times,
        generation=counts,
        run=counts,
        attempts=counts,
        arrival=counts,
        due=st.none() | times,
        blocks=st.booleans(),
        record_key=st.none() | st.binary(max_size=5),
        headers=st.just(()) | st.just((("ce_parent", "öl".encode()), ("x", b"\xff"), ("y", None))),
        payload=st.binary(max_size=20),
        reason=text,
        failure=failures,
        first_failure=st.none() | times,
        died=st.none() | times,
        is_supposed=st.booleans(),
        history=st.lists(attempts, max_size=2).map(tuple),
        notes=notes,
    ),
    times,
)
def test_an_open_entry_is_read_as_a_worker_reads_it(entry: OpenEntry, written: int) -> None:
    key, value = encode_open(entry)
    whole, seen = decode_open(key, value), read_open(value, written)
    assert (seen.time, seen.generation, seen.run) == whole.position
    assert seen.state == whole.told
    assert seen.attempts == whole.attempts
    assert seen.error == (whole.failure and whole.failure.type)
    message = whole.failure.message if whole.failure else whole.reason
    assert seen.message == (message[:MESSAGE_KEPT] or None)
    assert seen.parent == ("öl" if whole.headers else None)
    progress = whole.notes.progress if whole.notes else None
    assert seen.progress == (progress and (progress.processed, progress.total))
    match whole.state:
        case State.RUNNING:
            assert (seen.since, seen.due) == (whole.due or written, None)
        case State.DEAD if whole.died is not None or whole.history or whole.first_failure:
            assert (seen.since, seen.due) == (whole.failed_at, None)
        case State.DEAD:
            assert seen.since == written
        case State.PARKED:
            since = max(whole.enqueued or whole.time, whole.not_before or 0)
            assert (seen.since, seen.due) == (since, whole.due)
        case _:
            assert (seen.since, seen.due) == (written, whole.due)


@settings(max_examples=300)
@given(
    st.builds(
        LedgerRecord,
        job=jobs,
        state=st.sampled_from(sorted(OVER)),
        time=times,
        generation=counts,
        run=counts,
        attempts=counts,
        ended=times,
        unique_for_ms=st.integers(0, 10**9),
        result=st.none() | st.just(b'{"a":1}'),
        reason=text,
        failure=failures,
        history=st.lists(attempts, max_size=2).map(tuple),
        notes=notes,
    )
)
def test_a_ledger_record_is_read_as_a_worker_reads_it(ledger: LedgerRecord) -> None:
    key, value = encode_ledger(ledger)
    whole, seen = decode_ledger(key, value), read_over(value)
    assert (seen.time, seen.generation, seen.run) == whole.position
    assert (seen.state, seen.attempts, seen.since) == (whole.state, whole.attempts, whole.ended)
    assert seen.unique_until == whole.ended + whole.unique_for_ms
    assert seen.error == (whole.failure and whole.failure.type)
    message = whole.failure.message if whole.failure else whole.reason
    assert seen.message == (message[:MESSAGE_KEPT] or None)
    progress = whole.notes.progress if whole.notes else None
    assert seen.progress == (progress and (progress.processed, progress.total))


@given(st.binary(max_size=30) | st.sampled_from([b"{}", b"[]", b"null", b'{"state":"dead"}\n']))
def test_what_is_no_state_is_refused(value: bytes) -> None:
    for read in (lambda: read_open(value, 0), lambda: read_over(value)):
        try:
            read()
        except UndecodableRecord:
            continue
        raise AssertionError(value)
