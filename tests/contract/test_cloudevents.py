"""Our records are CloudEvents for the official package, and its records are jobs for us."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from streams.wire.envelope import Envelope, JobOverrides, Record, decode, decode_event, encode

TIME = 1_732_413_600_123
MOMENT = datetime(2024, 11, 24, 2, 0, 0, 123_000, tzinfo=UTC)

JOB = Envelope(
    id="report:7",
    name="reports.send",
    source="/web",
    time=TIME,
    payload=b'{"account_id":7,"name":"Zo\xc3\xab"}',
    queue="bulk",
    key="reports.send:7",
    not_before=TIME + 1000,
    expires=TIME + 2000,
    parent="report:6",
    options=JobOverrides(attempts=5, timeout_ms=1000),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    extensions={"userid": "42"},
)


def ours(message: kafka.KafkaMessage) -> Record:
    key = message.key.encode() if isinstance(message.key, str) else message.key
    return Record("t", 0, 0, 0, key, message.value, tuple(message.headers.items()))


def test_the_official_package_reads_our_job() -> None:
    key, value, headers = encode(JOB)

    event = kafka.from_binary(kafka.KafkaMessage(dict(headers), key, value), JSONFormat())

    assert event.get_id() == "report:7"
    assert event.get_type() == "reports.send"
    assert event.get_source() == "/web"
    assert event.get_specversion() == "1.0"
    assert event.get_time() == MOMENT
    assert event.get_datacontenttype() == "application/json"
    assert event.get_data() == {"account_id": 7, "name": "Zoë"}
    assert event.get_extension("queue") == "bulk"
    assert event.get_extension("partitionkey") == "reports.send:7"
    assert event.get_extension("notbefore") == "2024-11-24T02:00:01.123Z"
    assert event.get_extension("parent") == "report:6"
    assert orjson.loads(event.get_extension("options")) == {"attempts": 5, "timeout_ms": 1000}
    assert event.get_extension("userid") == "42"


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (kafka.to_binary, kafka.from_binary),
        (kafka.to_structured, kafka.from_structured),
    ],
)
def test_a_job_survives_the_way_through_the_official_package(write, read) -> None:  # type: ignore[no-untyped-def]
    key, value, headers = encode(JOB)
    event = kafka.from_binary(kafka.KafkaMessage(dict(headers), key, value), JSONFormat())

    message = write(event, JSONFormat())
    again = decode(ours(message))

    assert orjson.loads(again.payload) == orjson.loads(JOB.payload)
    # The header `traceparent` stands beside the CloudEvent, so it is not part of it.
    for field in ("id", "name", "source", "time", "queue", "key", "not_before", "expires"):
        assert getattr(again, field) == getattr(JOB, field)
    assert (again.parent, again.options, again.extensions) == (
        JOB.parent,
        JOB.options,
        JOB.extensions,
    )
    assert read(message, JSONFormat()).get_id() == JOB.id


@pytest.mark.parametrize("write", [kafka.to_binary, kafka.to_structured])
def test_an_event_of_the_official_package(write) -> None:  # type: ignore[no-untyped-def]
    event = CloudEvent(
        {
            "id": "e1",
            "type": "user.signed_up",
            "source": "/crm",
            "time": MOMENT,
            "datacontenttype": "application/json",
            "partitionkey": "42",
            "tenant": "acme",
        },
        {"user_id": 42},
    )

    got = decode_event(ours(write(event, JSONFormat())), "user.signed_up")

    assert (got.id, got.name, got.source, got.time) == ("e1", "user.signed_up", "/crm", TIME)
    assert (got.key, got.extensions) == ("42", {"tenant": "acme"})
    assert orjson.loads(got.payload) == {"user_id": 42}
