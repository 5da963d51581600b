"""CloudEvents over HTTP, in all three modes, to envelopes of ours. Pure.

See the HTTP protocol binding for CloudEvents 1.0.2.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import unquote

import orjson
from pydantic_core import from_json

from streams.client_request import bounded, checked, event_envelope, read_json
from streams.contracts import Event
from streams.errors import PayloadInvalid
from streams.jobs.registry import Registry
from streams.wire.envelope import Envelope
from streams.wire.headers import JSON, SPECVERSION
from streams.wire.times import parse_time
from streams.wire.topics import MAX_PAYLOAD_BYTES

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
EVENTS_MAX: Final = 1_000  # in a batch
TEXT_MAX: Final = 500  # characters of an attribute

_NAME: Final = re.compile(r"[a-z0-9]{1,40}")
_TYPE: Final = re.compile(r"[a-zA-Z0-9._-]{1,200}")
_OURS: Final = frozenset(
    ("queue", "notbefore", "expires", "parent", "options", "childof", "awaits", "movedfrom")
)
_KNOWN: Final = frozenset(
    ("specversion", "id", "source", "type", "time", "datacontenttype", "partitionkey")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One event as it came; `time` in ms since the epoch."""

    id: str
    source: str
    type: str
    time: int | None
    data: bytes
    content_type: str = JSON
    key: str | None = None
    extensions: dict[str, str] = field(default_factory=dict)


def is_batch(content_type: str) -> bool:
    """Whether there are several events in a body of this type."""
    return _media(content_type) == BATCH


def read_events(headers: Mapping[str, str], body: bytes) -> list[Incoming]:
    """The events of a request; names of headers are in lower case.

    Raises:
        PayloadInvalid: it carries none, or an attribute of one makes no sense.
    """
    content_type = headers.get("content-type", "")
    media = _media(content_type)
    if media == BATCH:
        events = _parsed(body)
        if not isinstance(events, list):
            raise PayloadInvalid("a batch of events is a JSON array", field="")
        if len(events) > EVENTS_MAX:
            raise PayloadInvalid(f"at most {EVENTS_MAX} events in a batch", field="")
        return [_structured(each, f"{place}.") for place, each in enumerate(events)]
    if media == STRUCTURED:
        return [_structured(_parsed(body), "")]
    if media.startswith("application/cloudevents"):
        raise PayloadInvalid(f"Content-Type: {media} is not supported", field="Content-Type")
    return [_binary(headers, body, content_type)]


def _binary(headers: Mapping[str, str], body: bytes, content_type: str) -> Incoming:
    attributes: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            try:
                attributes[name[3:]] = unquote(value, errors="strict")
            except UnicodeDecodeError:
                raise PayloadInvalid(f"{name}: it is no UTF-8", field=name) from None
    if not attributes:
        raise PayloadInvalid(
            "this is no CloudEvent: send the headers ce-id, ce-source, ce-specversion and ce-type, "
            f"or Content-Type: {STRUCTURED} or {BATCH}",
            field="ce-id",
        )
    if body and _is_json(content_type or JSON):
        _parsed(body)  # nobody is to find out later that it is none
    return _incoming(attributes, body or b"null", content_type or JSON, "ce-")


def _structured(event: Any, where: str) -> Incoming:
    if not isinstance(event, dict):
        raise PayloadInvalid(f"{where}: an event is a JSON object".lstrip(": "), field=where)
    content_type = event.get("datacontenttype") or JSON
    if not isinstance(content_type, str):
        raise PayloadInvalid(f"{where}datacontenttype: give a text", field="datacontenttype")
    if "data" in event and "data_base64" in event:
        raise PayloadInvalid(f"{where}data: give data or data_base64, not both", field="data")
    if "data_base64" in event:
        try:
            data = b64decode(event["data_base64"], validate=True)
        except (Base64Error, TypeError, ValueError):
            why = f"{where}data_base64: it is no Base64"
            raise PayloadInvalid(why, field=f"{where}data_base64") from None
    elif isinstance(event.get("data"), str) and not _is_json(content_type):
        data = event["data"].encode()
    else:
        try:
            data = orjson.dumps(event.get("data"))
        except TypeError as error:
            raise PayloadInvalid(f"{where}data: {error}", field=f"{where}data") from None
    attributes = {
        name: value
        for name, value in event.items()
        if name not in ("data", "data_base64") and value is not None
    }
    return _incoming(attributes, data, content_type, where)


def _incoming(given: dict[str, Any], data: bytes, content_type: str, where: str) -> Incoming:
    told = {name: _text(name, value, where) for name, value in given.items()}
    for name in ("id", "source", "specversion", "type"):
        if not told.get(name):
            raise PayloadInvalid(f"{where}{name}: an event needs it", field=f"{where}{name}")
    if told["specversion"] != SPECVERSION:
        why = f"{where}specversion: {told['specversion']!r} is not supported; send {SPECVERSION}"
        raise PayloadInvalid(why, field=f"{where}specversion")
    return Incoming(
        id=told["id"],
        source=told["source"],
        type=_checked_type(told["type"], where),
        time=_time(told.get("time"), where),
        data=data,
        content_type=JSON if _media(content_type) == JSON else content_type,
        key=told.get("partitionkey") or None,
        extensions={name: value for name, value in told.items() if name not in _KNOWN},
    )


def _text(name: str, value: Any, where: str) -> str:
    at = f"{where}{name}"[:80]
    if not _NAME.fullmatch(name):
        raise PayloadInvalid(f"{at}: names of attributes are up to 40 of a-z and 0-9", field=at)
    if name in _OURS:
        raise PayloadInvalid(f"{at}: this attribute is the engine's own; rename it", field=at)
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int):
        raise PayloadInvalid(f"{at}: give text, a whole number, or a truth value", field=at)
    text = str(value)
    if len(text) > TEXT_MAX:
        raise PayloadInvalid(f"{at}: at most {TEXT_MAX} characters", field=at)
    return text


def _checked_type(type: str, where: str) -> str:
    if not _TYPE.fullmatch(type) or type in (".", ".."):
        raise PayloadInvalid(
            f"{where}type: use up to 200 letters, digits, dots, hyphens and underscores",
            field=f"{where}type",
        )
    if type.startswith(("jobs.", "__")):
        why = f"{where}type: topics that begin with jobs. or __ are not for events"
        raise PayloadInvalid(why, field=f"{where}type")
    return type


def _time(text: str | None, where: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError:
        why = f"{where}time: write it as 2026-12-24T18:00:00Z"
        raise PayloadInvalid(why, field=f"{where}time") from None


def check_types(
    events: Sequence[Incoming], known: Collection[str], allowed: Collection[str]
) -> None:
    """See to it that each goes where events of callers may go: topics may be of others' events.

    `known` are the types that handlers here take, `allowed` those of STREAMS_EVENT_TOPICS.

    Raises:
        PayloadInvalid: one does not.
    """
    for event in events:
        if event.type not in known and event.type not in allowed and "*" not in allowed:
            raise PayloadInvalid(
                f"type: no handler that the console knows takes {event.type}, nor is it in "
                "STREAMS_EVENT_TOPICS: name it there, or * for all topics of events",
                field="type",
            )


def envelope_of(event: Incoming, registry: Registry, now: int) -> Envelope:
    """The event as it goes on its topic; where its contract is known here, it is kept to.

    Raises:
        PayloadInvalid: its data does not fit its contract.
        PayloadTooLarge: it is over the limit.
    """
    contract = contract_of(registry, event.type)
    key = event.key
    if contract is not None:
        if not _is_json(event.content_type):
            raise PayloadInvalid(
                f"datacontenttype: {contract.__name__} is JSON, not {event.content_type}",
                field="datacontenttype",
            )
        try:
            model, _ = checked(read_json(contract, event.data))
        except PayloadInvalid as error:
            at = f"data.{error.field}".rstrip(".")
            raise PayloadInvalid(f"{at}: {error}", field=at) from None
        key = model.ordering_key()
    extensions = dict(event.extensions)
    traceparent = extensions.pop("traceparent", None)
    envelope = event_envelope(
        type=event.type,
        source=event.source,
        payload=bounded(event.data, MAX_PAYLOAD_BYTES, event.type),
        key=key,
        id=event.id,
        time=None,
        now=now if event.time is None else event.time,
        metadata={} if traceparent is None else {"traceparent": traceparent},
    )
    return replace(envelope, content_type=event.content_type, extensions=extensions)


def contract_of(registry: Registry, type: str) -> type[Event] | None:
    """The contract of a type of event, if somebody here takes it."""
    for definition in registry.subscribers(type):
        if issubclass(definition.payload_type, Event):
            return definition.payload_type
    for definition in registry.cancelled_by(type):
        return definition.cancel_on
    return None


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise PayloadInvalid(f"the body is no JSON: {error}", field="") from None


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(content_type: str) -> bool:
    media = _media(content_type)
    return media.endswith(("/json", "+json"))
