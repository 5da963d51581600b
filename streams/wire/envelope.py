"""A job or event on the wire: a CloudEvent in a Kafka record, both ways."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import field
from typing import Any, TypeVar

import orjson

from streams.errors import UndecodableRecord
from streams.jobs.batches import Awaits, ChildOf, read_awaits, read_child_of
from streams.values import immutable
from streams.wire import headers as h
from streams.wire.options import JobOverrides, decode_overrides, encode_overrides
from streams.wire.times import parse_time, show_time
from streams.wire.topics import MAX_JOB_BYTES

T = TypeVar("T")

__all__ = [
    "Envelope",
    "JobOverrides",
    "Record",
    "Relayed",
    "check_size",
    "decode",
    "decode_event",
    "encode",
    "relay",
    "relayed",
]


@immutable(frozen=True, slots=True)
class Record:
    """A record as it was read from Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # the broker's, milliseconds since the epoch
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()  # a foreign one may have no value


@immutable(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is sent: who, when, where to, and the payload; times in ms since the epoch."""

    id: str
    name: str  # of the job, or the type of the event
    source: str
    time: int
    payload: bytes
    queue: str | None = None
    key: str | None = None  # "<scope>:<ordering key>" for a job; None if unordered
    content_type: str = h.JSON
    not_before: int | None = None
    expires: int | None = None
    parent: str | None = None
    options: JobOverrides | None = None
    traceparent: str | None = None
    child_of: ChildOf | None = None
    awaits: Awaits | None = None
    moved_from: str | None = None  # the queue in which it was dead
    extensions: dict[str, str] = field(default_factory=dict)  # by name, without `ce_`

    @property
    def replaces_dead(self) -> bool:
        """Whether it runs in the place of a dead job with its id."""
        return self.options is not None and self.options.replaces_dead


_KNOWN = frozenset(
    {
        h.CE_SPECVERSION,
        h.CE_ID,
        h.CE_TYPE,
        h.CE_SOURCE,
        h.CE_TIME,
        h.CE_PARTITIONKEY,
        h.CE_QUEUE,
        h.CE_NOTBEFORE,
        h.CE_EXPIRES,
        h.CE_PARENT,
        h.CE_OPTIONS,
        h.CE_CHILDOF,
        h.CE_AWAITS,
        h.CE_MOVEDFROM,
        h.CE_TRACEPARENT,
    }
)
_OURS = _KNOWN | {h.CONTENT_TYPE, h.TRACEPARENT}
_SPECVERSION = h.SPECVERSION.encode()
_JSON = h.JSON.encode()


def encode(envelope: Envelope) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the record, in CloudEvents binary mode."""
    e = envelope
    headers = [
        (h.CE_SPECVERSION, _SPECVERSION),
        (h.CE_ID, e.id.encode()),
        (h.CE_TYPE, e.name.encode()),
        (h.CE_SOURCE, e.source.encode()),
        (h.CE_TIME, show_time(e.time).encode()),
        (h.CONTENT_TYPE, e.content_type.encode()),
    ]
    if e.key is not None:
        headers.append((h.CE_PARTITIONKEY, e.key.encode()))
    if e.queue is not None:
        headers.append((h.CE_QUEUE, e.queue.encode()))
    if e.not_before is not None:
        headers.append((h.CE_NOTBEFORE, show_time(e.not_before).encode()))
    if e.expires is not None:
        headers.append((h.CE_EXPIRES, show_time(e.expires).encode()))
    if e.parent is not None:
        headers.append((h.CE_PARENT, e.parent.encode()))
    if e.options is not None:
        headers.append((h.CE_OPTIONS, encode_overrides(e.options)))
    if e.child_of is not None:
        headers.append((h.CE_CHILDOF, e.child_of.encode().encode()))
    if e.awaits is not None:
        headers.append((h.CE_AWAITS, e.awaits.encode().encode()))
    if e.moved_from is not None:
        headers.append((h.CE_MOVEDFROM, e.moved_from.encode()))
    if e.traceparent is not None:
        headers.append((h.TRACEPARENT, e.traceparent.encode()))
    for name, value in e.extensions.items():
        headers.append((h.CE_PREFIX + name, value.encode()))
    # An unordered job is spread by its id; `ce_partitionkey` tells the two apart.
    return (e.id if e.key is None else e.key).encode(), e.payload, headers


def decode(record: Record) -> Envelope:
    """The job that a record of one of our topics carries.

    Raises:
        UndecodableRecord: it has no id, no type or no value, or a header makes no sense.
    """
    headers, payload = _read(record)
    id_ = headers.get(h.CE_ID)
    name = headers.get(h.CE_TYPE)
    if not id_ or not name:
        raise UndecodableRecord("a job needs the headers ce_id and ce_type")
    return _envelope(record, headers, payload, id_, name, headers.get(h.CE_PARTITIONKEY))


def decode_event(record: Record, event_type: str) -> Envelope:
    """The event that a record of an event topic carries, from whomever it came.

    The topic decides the type. What a foreign record lacks is taken from its place (id) and the
    broker's timestamp (time).

    Raises:
        UndecodableRecord: it has no value, or a header makes no sense.
    """
    headers, payload = _read(record)
    id_ = headers.get(h.CE_ID) or f"{record.topic}/{record.partition}/{record.offset}"
    key = headers.get(h.CE_PARTITIONKEY)
    if key is None and record.key is not None and record.key != id_.encode():
        key = record.key.decode(errors="replace")
    return _envelope(record, headers, payload, id_, event_type, key)


def check_size(record: Record) -> None:
    """Refuse what could not be kept whole.

    Raises:
        UndecodableRecord: it is larger than our clients send and our topics let pass.
    """
    size = len(record.value or b"")
    for _, value in record.headers:
        if value is not None:
            size += len(value)
    if size > MAX_JOB_BYTES:
        raise UndecodableRecord(f"it has {size} bytes, the limit is {MAX_JOB_BYTES}")


@immutable(frozen=True, slots=True, kw_only=True)
class Relayed:
    """What the jobs of an event have from it, as bytes that need not be read."""

    id: str
    source: str
    headers: list[tuple[str, bytes]]  # without those that every job has of its own


_OF_JOBS = _KNOWN - {h.CE_SPECVERSION, h.CE_SOURCE, h.CE_TIME}
_REPLACED = (h.CE_TYPE, h.CE_PARTITIONKEY)


def relayed(record: Record) -> Relayed | None:
    """What can be passed on of an event as it is; None if it has to be decoded.

    That is so for an event in binary mode with nothing unusual about it: what its jobs get is the
    same as by `decode_event` and `encode`, for a third of the time.
    """
    id_ = source = time = content_type = version = None
    headers: list[tuple[str, bytes]] = []
    if record.value is None:
        return None
    for name, value in record.headers:
        if value is None or not name.islower():
            return None
        if name in _OF_JOBS:
            if name == h.CE_ID:
                if id_ is not None:  # told twice, and the first may be any bytes
                    return None
                id_ = value
            elif name not in _REPLACED or not value.isascii():
                return None
            continue
        if name == h.CE_SPECVERSION:
            if version is not None:
                return None
            version = value
            continue
        if name == h.CE_SOURCE:
            source = value
        elif name == h.CE_TIME:
            time = value
        elif name == h.CONTENT_TYPE:
            content_type = value
        elif name[:3] != h.CE_PREFIX and name != h.TRACEPARENT:
            continue
        headers.append((name, value))
    if not id_ or not source or time is None:
        return None
    if content_type != _JSON or version != _SPECVERSION:
        return None
    try:
        parse_time(time.decode())
        for _, value in headers:
            if not value.isascii():
                value.decode()
        return Relayed(id=id_.decode(), source=source.decode(), headers=headers)
    except ValueError:
        return None  # it is told what is wrong with it there


def relay(
    event: Relayed, *, id: str, name: str, queue: str, key: str | None, payload: bytes
) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of a job's record, which its event started."""
    id_ = id.encode()
    headers = [
        (h.CE_SPECVERSION, _SPECVERSION),
        (h.CE_ID, id_),
        (h.CE_TYPE, name.encode()),
        *event.headers,
        (h.CE_QUEUE, queue.encode()),
        (h.CE_PARENT, event.id.encode()),
    ]
    if key is None:
        return id_, payload, headers
    key_ = key.encode()
    headers.append((h.CE_PARTITIONKEY, key_))
    return key_, payload, headers


def _read(record: Record) -> tuple[dict[str, str], bytes]:
    """Headers by lower-case name, with structured mode unfolded into them, and the payload."""
    if record.value is None:
        raise UndecodableRecord("the record has no value")
    headers: dict[str, str] = {}
    for name, value in record.headers:
        if name not in _OURS and name[:3] != h.CE_PREFIX:
            name = name.lower()
            # Other headers are none of our business, and may be any bytes.
            if name[:3] != h.CE_PREFIX and name != h.CONTENT_TYPE and name != h.TRACEPARENT:
                continue
        if value is None:
            continue
        try:
            headers[name] = value.decode()
        except UnicodeDecodeError:
            raise UndecodableRecord(f"header {name} is not UTF-8") from None
    content_type = headers.get(h.CONTENT_TYPE, h.JSON)
    if content_type != h.JSON and content_type.lower().startswith("application/cloudevents"):
        return _unfold(headers, record.value)
    return headers, record.value


def _unfold(outer: dict[str, str], value: bytes) -> tuple[dict[str, str], bytes]:
    content_type = outer[h.CONTENT_TYPE]
    if content_type.lower().split(";")[0].strip() != h.STRUCTURED_JSON:
        raise UndecodableRecord(f"content type {content_type} is not supported")
    try:
        event: Any = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UndecodableRecord(f"not a structured CloudEvent: {error}") from None
    if not isinstance(event, dict):
        raise UndecodableRecord("not a structured CloudEvent: no JSON object")
    headers = {
        h.CE_PREFIX + name: text if isinstance(text, str) else orjson.dumps(text).decode()
        for name, text in event.items()
        if text is not None and name not in ("data", "data_base64", "datacontenttype")
    }
    if h.TRACEPARENT in outer:
        headers[h.TRACEPARENT] = outer[h.TRACEPARENT]
    inner = event.get("datacontenttype") or h.JSON
    headers[h.CONTENT_TYPE] = inner if isinstance(inner, str) else h.JSON
    return headers, _data(event, headers[h.CONTENT_TYPE])


def _data(event: dict[str, Any], content_type: str) -> bytes:
    if "data_base64" in event:
        try:
            return b64decode(event["data_base64"], validate=True)
        except (Base64Error, TypeError, ValueError) as error:
            raise UndecodableRecord(f"data_base64 is not base64: {error}") from None
    data = event.get("data")
    media = content_type.lower().split(";")[0].strip()
    if isinstance(data, str) and not (media.endswith(("/json", "+json"))):
        return data.encode()
    return orjson.dumps(data)


def _envelope(
    record: Record,
    headers: dict[str, str],
    payload: bytes,
    id_: str,
    name: str,
    key: str | None,
) -> Envelope:
    time = _time(headers, h.CE_TIME)
    options = headers.get(h.CE_OPTIONS)
    return Envelope(
        id=id_,
        name=name,
        source=headers.get(h.CE_SOURCE) or record.topic,
        time=record.timestamp if time is None else time,
        payload=payload,
        queue=headers.get(h.CE_QUEUE),
        key=key,
        content_type=headers.get(h.CONTENT_TYPE) or h.JSON,
        not_before=_time(headers, h.CE_NOTBEFORE) if h.CE_NOTBEFORE in headers else None,
        expires=_time(headers, h.CE_EXPIRES) if h.CE_EXPIRES in headers else None,
        parent=headers.get(h.CE_PARENT),
        options=None if options is None else decode_overrides(options),
        traceparent=headers.get(h.TRACEPARENT) or headers.get(h.CE_TRACEPARENT),
        child_of=_made(read_child_of, headers, h.CE_CHILDOF),
        awaits=_made(read_awaits, headers, h.CE_AWAITS),
        moved_from=headers.get(h.CE_MOVEDFROM),
        extensions={} if headers.keys() <= _OURS else _extensions(headers),
    )


def _made(read: Callable[[str], T], headers: dict[str, str], name: str) -> T | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise UndecodableRecord(f"header {name}: {error}") from None


def _extensions(headers: dict[str, str]) -> dict[str, str]:
    return {name[3:]: text for name, text in headers.items() if name not in _OURS}


def _time(headers: dict[str, str], name: str) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError:
        raise UndecodableRecord(f"header {name} is not an RFC 3339 time: {text[:80]!r}") from None
