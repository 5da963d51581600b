"""Envelopes come back as they were sent, and strange records are refused with a reason."""

from __future__ import annotations

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import UndecodableRecord
from streams.jobs.retry import Exponential, Fixed
from streams.wire import headers as h
from streams.wire.envelope import (
    Envelope,
    JobOverrides,
    Record,
    decode,
    decode_event,
    encode,
    relay,
    relayed,
)
from streams.wire.times import LATEST, parse_time, show_time

TIME = 1_732_413_600_123
text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
times = st.integers(0, LATEST)
envelopes = st.builds(
    Envelope,
    id=text,
    name=text,
    source=text,
    time=times,
    payload=st.binary(max_size=50),
    queue=st.none() | text,
    key=st.none() | text,
    not_before=st.none() | times,
    expires=st.none() | times,
    parent=st.none() | text,
    options=st.none()
    | st.builds(
        JobOverrides,
        attempts=st.none() | st.integers(1, 100),
        timeout_ms=st.none() | st.integers(1, 10**9),
        backoff=st.sampled_from(
            [None, Fixed("2000ms"), Exponential(base="5ms", factor=3.0, cap="9ms", jitter=False)]
        ),
    ),
    traceparent=st.none() | text,
    extensions=st.dictionaries(st.sampled_from(["userid", "tenant", "shard2"]), text),
)


def record(
    value: bytes | None = b"{}",
    *headers: tuple[str, bytes],
    key: bytes | None = None,
) -> Record:
    return Record("orders", 3, 17, TIME, key, value, headers)


@given(envelopes)
def test_round_trip(envelope: Envelope) -> None:
    key, value, headers = encode(envelope)

    assert decode(Record("t", 0, 0, 0, key, value, tuple(headers))) == envelope
    assert key.decode() == (envelope.key or envelope.id)


def test_headers_are_cloudevents_in_binary_mode() -> None:
    envelope = Envelope(
        id="1", name="reports.send", source="web", time=TIME, payload=b"{}", key="reports.send:7"
    )

    key, value, headers = encode(envelope)

    assert (key, value) == (b"reports.send:7", b"{}")
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_type", b"reports.send"),
        ("ce_source", b"web"),
        ("ce_time", b"2024-11-24T02:00:00.123Z"),
        ("content-type", b"application/json"),
        ("ce_partitionkey", b"reports.send:7"),
    ]


def test_a_foreign_record_without_headers_becomes_an_event() -> None:
    event = decode_event(record(b'{"a":1}', key=b"7"), "order.placed")

    assert (event.id, event.name, event.time) == ("orders/3/17", "order.placed", TIME)
    assert (event.key, event.payload, event.source) == ("7", b'{"a":1}', "orders")


def test_a_foreign_event_keeps_what_it_says_of_itself() -> None:
    event = decode_event(
        record(
            b"{}",
            ("Ce_Id", b"x"),
            ("ce_type", b"com.example.order"),
            ("ce_source", b"/shop"),
            ("ce_time", b"2024-11-24T03:00:00.123456789+01:00"),
            ("Content-Type", b"application/json; charset=utf-8"),
            ("blob", b"\xff\xfe"),
        ),
        "order.placed",
    )

    assert (event.id, event.name, event.source, event.time) == ("x", "order.placed", "/shop", TIME)
    assert event.extensions == {}


def test_an_unordered_event_of_ours_has_no_key() -> None:
    key, value, headers = encode(Envelope(id="1", name="e", source="s", time=0, payload=b"{}"))

    assert decode_event(Record("e", 0, 0, 0, key, value, tuple(headers)), "e").key is None


def test_structured_mode() -> None:
    body = {
        "specversion": "1.0",
        "id": "9",
        "type": "reports.send",
        "source": "/shop",
        "time": "2024-11-24T02:00:00.123Z",
        "partitionkey": "reports.send:7",
        "queue": "bulk",
        "tenant": 5,
        "data": {"account_id": 7},
    }
    structured = (h.CONTENT_TYPE, b"application/cloudevents+json; charset=UTF-8")

    envelope = decode(record(orjson.dumps(body), structured, (h.TRACEPARENT, b"00-1-2-01")))

    assert envelope == Envelope(
        id="9",
        name="reports.send",
        source="/shop",
        time=TIME,
        payload=b'{"account_id":7}',
        queue="bulk",
        key="reports.send:7",
        traceparent="00-1-2-01",
        extensions={"tenant": "5"},
    )


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ({"data_base64": "aGk="}, b"hi"),
        ({"data": "hi", "datacontenttype": "text/plain"}, b"hi"),
        ({"data": "hi"}, b'"hi"'),
        ({}, b"null"),
    ],
)
def test_data_in_structured_mode(data: dict[str, str], payload: bytes) -> None:
    body = orjson.dumps({"id": "1", "type": "t", "source": "s", **data})

    envelope = decode(record(body, (h.CONTENT_TYPE, b"application/cloudevents+json")))

    assert envelope.payload == payload


JOB = ((h.CE_ID, b"1"), (h.CE_TYPE, b"t"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(None, *JOB), "no value"),
        (record(b"{}"), "ce_id"),
        (record(b"{}", (h.CE_ID, b"1")), "ce_type"),
        (record(b"{}", *JOB, (h.CE_TIME, b"yesterday")), "ce_time"),
        (record(b"{}", *JOB, (h.CE_NOTBEFORE, b"12")), "ce_notbefore"),
        (record(b"{}", *JOB, (h.CE_SOURCE, b"\xff")), "UTF-8"),
        (record(b"{}", *JOB, (h.CE_OPTIONS, b"[]")), "ce_options"),
        (record(b"{}", *JOB, (h.CE_OPTIONS, b'{"attempts":0}')), "ce_options"),
        (record(b"{}", *JOB, (h.CE_OPTIONS, b'{"backoff":{"kind":"x"}}')), "ce_options"),
        (record(b"x", (h.CONTENT_TYPE, b"application/cloudevents+avro")), "not supported"),
        (record(b"x", (h.CONTENT_TYPE, b"application/cloudevents+json")), "structured"),
        (record(b"[]", (h.CONTENT_TYPE, b"application/cloudevents+json")), "object"),
        (
            record(b'{"data_base64":"?"}', (h.CONTENT_TYPE, b"application/cloudevents+json")),
            "base64",
        ),
    ],
)
def test_what_cannot_be_decoded_says_why(bad: Record, reason: str) -> None:
    with pytest.raises(UndecodableRecord, match=reason):
        decode(bad)


headers_of_anyone = st.lists(
    st.tuples(
        st.sampled_from(
            [h.CE_ID, h.CE_TYPE, h.CE_TIME, h.CE_OPTIONS, h.CE_EXPIRES, h.CONTENT_TYPE, "other"]
        ),
        st.binary(max_size=30) | st.just(b"application/cloudevents+json"),
    )
)


@given(st.none() | st.binary(), headers_of_anyone, st.none() | st.binary())
def test_no_bytes_raise_anything_else(
    value: bytes | None, headers: list[tuple[str, bytes]], key: bytes | None
) -> None:
    strange = Record("t", 0, 0, 0, key, value, tuple(headers))
    for read in (decode, lambda r: decode_event(r, "e")):
        with contextlib.suppress(UndecodableRecord):
            read(strange)


@given(times)
def test_times_come_back(ms: int) -> None:
    assert parse_time(show_time(ms)) == ms


@pytest.mark.parametrize(
    "same",
    ["2024-11-24t02:00:00.123z", "2024-11-24T02:00:00.1239", "2024-11-23T18:00:00.123-08:00"],
)
def test_times_as_others_write_them(same: str) -> None:
    assert parse_time(same) == TIME


def job_by_decoding(event: Record) -> Envelope:
    read = decode_event(event, "orders")
    key, value, headers = encode(
        Envelope(
            id="job",
            name="ship",
            source=read.source,
            time=read.time,
            queue="bulk",
            key="ship:7",
            content_type=read.content_type,
            payload=read.payload,
            parent=read.id,
            traceparent=read.traceparent,
            extensions=read.extensions,
        )
    )
    return decode(Record("jobs.bulk", 0, 0, TIME, key, value, tuple(headers)))


def job_by_relaying(event: Record) -> Envelope | None:
    read = relayed(event)
    if read is None or event.value is None:
        return None
    key, value, headers = relay(
        read, id="job", name="ship", queue="bulk", key="ship:7", payload=event.value
    )
    assert key == b"ship:7"
    return decode(Record("jobs.bulk", 0, 0, TIME, key, value, tuple(headers)))


EVENT = Envelope(
    id="e1",
    name="orders",
    source="shop",
    time=TIME,
    payload=b"{}",
    key="7",
    traceparent="00-1-2-01",
    extensions={"tenant": "ada"},
)


def test_what_a_client_emits_is_relayed() -> None:
    key, value, headers = encode(EVENT)
    event = record(value, *headers, key=key)
    relayed_job = job_by_relaying(event)
    assert relayed_job is not None
    assert relayed_job == job_by_decoding(event)
    unordered = relayed(event)
    assert unordered is not None
    key, _, headers = relay(unordered, id="j", name="n", queue="q", key=None, payload=b"{}")
    assert key == b"j" and h.CE_PARTITIONKEY not in dict(headers)


strange = st.sampled_from(
    [
        *(h.CE_ID, h.CE_TYPE, h.CE_SOURCE, h.CE_TIME, h.CE_SPECVERSION, h.CE_PARTITIONKEY),
        *(h.CE_QUEUE, h.CE_NOTBEFORE, h.CE_EXPIRES, h.CE_PARENT, h.CE_OPTIONS),
        *(h.CONTENT_TYPE, h.TRACEPARENT, h.CE_TRACEPARENT, "ce_tenant", "CE_Tenant", "ce_", "x"),
    ]
)
values = st.sampled_from(
    [
        *(b"", b"1.0", b"0.3", b"a", "\u00fc".encode(), b"\xff", b"{}", b"application/json"),
        *(b"2026-11-26T17:00:00Z", b"2026-11-26T17:00:00.123456+01:00", b"yesterday", None),
        *(b"application/cloudevents+json", b"text/plain"),
    ]
)


@given(
    st.lists(st.tuples(strange, values), max_size=4),
    st.sets(st.sampled_from([name for name, _ in encode(EVENT)[2]]), max_size=2),
)
def test_what_is_relayed_is_what_decoding_makes_of_it(
    more: list[tuple[str, bytes]], missing: set[str]
) -> None:
    key, value, headers = encode(EVENT)
    event = record(value, *(pair for pair in headers if pair[0] not in missing), *more, key=key)
    by_relaying = job_by_relaying(event)
    if by_relaying is not None:  # else it is decoded, and told what is wrong with it
        assert by_relaying == job_by_decoding(event)
