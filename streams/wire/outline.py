"""What listings need of a record, read for a fraction of what the whole of it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from streams.errors import UndecodableRecord
from streams.jobs.states import State
from streams.wire import headers as h
from streams.wire.envelope import Record, check_size, decode
from streams.wire.times import EARLIEST, LATEST, parse_time
from streams.wire.topics import MAX_PAYLOAD_BYTES

MESSAGE_KEPT: Final = 200  # characters of an error's message

_STATES = {state.value: state for state in State}


class Readable(Protocol):
    """A record, whoever read it; see `Record`."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Sent(NamedTuple):
    """A job as its sender said it; times in milliseconds since the epoch."""

    name: str
    key: str | None  # the ordering key with its scope
    id: str
    time: int
    due: int | None
    parent: str | None  # the id of the event or job that it comes from


class Seen(NamedTuple):
    """A job as a state record has it; times in milliseconds since the epoch."""

    state: State
    time: int
    generation: int
    run: int
    attempts: int
    since: int  # when it came to be so: over, dead, running or waiting since; else as written
    due: int | None = None
    unique_until: int = 0  # over: what comes with its id before then is dropped
    error: str | None = None  # the type of its last failure
    message: str | None = None  # of that, or why it was ended or is held
    parent: str | None = None
    progress: tuple[int, int | None] | None = None  # processed, of how many


def read_sent(record: Readable) -> Sent:
    """The outline of a queue's record.

    Raises:
        UndecodableRecord: it carries no job.
    """
    headers = dict(record.headers)
    try:
        is_plain = (
            headers.keys() <= _PLAIN
            and len(headers) == len(record.headers)
            and b"".join(headers.values()).isascii()  # type: ignore[arg-type]
            and headers.get(h.CONTENT_TYPE, _JSON) == _JSON
            and len(record.value) < _PLAIN_BYTES  # type: ignore[arg-type]
        )
    except TypeError:  # something has no value
        is_plain = False
    id_, name = headers.get(h.CE_ID), headers.get(h.CE_TYPE)
    if not is_plain or not id_ or not name:
        return _decoded(record)
    time, due = headers.get(h.CE_TIME), headers.get(h.CE_NOTBEFORE)
    key, parent = headers.get(h.CE_PARTITIONKEY), headers.get(h.CE_PARENT)
    try:
        return Sent(
            name.decode(),
            None if key is None else key.decode(),
            id_.decode(),
            record.timestamp if time is None else parse_time(time.decode()),
            None if due is None else parse_time(due.decode()),
            None if parent is None else parent.decode(),
        )
    except ValueError as error:
        raise UndecodableRecord(f"not a job: {error}") from error


_JSON: Final = h.JSON.encode()
_PLAIN_BYTES: Final = MAX_PAYLOAD_BYTES
# What these say can't be wrong, or is looked at here; others have it looked at by `decode`.
_PLAIN: Final = frozenset(
    {
        h.CE_SPECVERSION,
        h.CE_ID,
        h.CE_TYPE,
        h.CE_SOURCE,
        h.CE_TIME,
        h.CE_PARTITIONKEY,
        h.CE_NOTBEFORE,
        h.CE_PARENT,
        h.CE_QUEUE,
        h.CE_MOVEDFROM,
        h.CONTENT_TYPE,
        h.TRACEPARENT,
    }
)


def _decoded(record: Readable) -> Sent:
    whole = Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
    check_size(whole)
    e = decode(whole)
    return Sent(e.name, e.key, e.id, e.time, e.not_before, e.parent)


def read_open(value: bytes, written: int) -> Seen:
    """The outline of an open entry that was written at `written`.

    Raises:
        UndecodableRecord: these bytes are not an open entry.
    """
    try:
        end = value.find(b"\n")
        m = orjson.loads(value if end < 0 else value[:end])
        state = _STATES[m["state"]]
        since, due = written, m["due"]
        if state is State.RUNNING:
            since, due = due or written, None
            if m.get("supposed"):
                state = State.QUEUED
        elif state is State.PARKED:
            # However often it was written since: what it waits for is to begin.
            since = max(m.get("enqueued") or m["time"], m.get("not_before") or 0)
        elif state is State.DEAD:
            history = m["history"]
            since = m.get("died")
            if since is None:
                since = history[-1][2] if history else m["first_failure"] or written
            due = None
        failure = m["failure"]
        return _sane(
            state,
            m["time"],
            m["generation"],
            m["run"],
            m["attempts"],
            since,
            due,
            0,
            failure and failure[0],
            _message(failure, m["reason"]),
            _parent(m["headers"]),
            _progress(m),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UndecodableRecord(f"not an open entry: {error}") from error


def read_over(value: bytes) -> Seen:
    """The outline of a ledger record.

    Raises:
        UndecodableRecord: these bytes are not a ledger record.
    """
    try:
        m = orjson.loads(value)
        failure, ended = m["failure"], m["ended"]
        return _sane(
            _STATES[m["state"]],
            m["time"],
            m["generation"],
            m["run"],
            m["attempts"],
            ended,
            None,
            min(ended + m.get("unique_for_ms", 86_400_000), LATEST),
            failure and failure[0],
            _message(failure, m["reason"]),
            None,
            _progress(m),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UndecodableRecord(f"not a ledger record: {error}") from error


def _sane(
    state: State,
    time: int,
    generation: int,
    run: int,
    attempts: int,
    since: int,
    due: int | None,
    unique_until: int,
    error: str | None,
    message: str | None,
    parent: str | None,
    progress: tuple[int, int | None] | None,
) -> Seen:
    """All of it, if it can be kept and shown: whoever writes to a topic may write anything.

    Raises:
        ValueError: it can't.
    """
    numbers = (time, generation, run, attempts, since, unique_until, 0 if due is None else due)
    if not all(type(each) is int and EARLIEST <= each <= LATEST for each in numbers):
        raise ValueError("a number of it is none, or out of range")
    if error is not None and type(error) is not str:
        raise ValueError("the type of its error is no text")
    for each in progress or ():
        if each is not None and not (
            isinstance(each, int | float) and abs(each) <= LATEST  # a float that is none is not
        ):
            raise ValueError("its progress is none")
    return Seen(
        state,
        time,
        generation,
        run,
        attempts,
        since,
        due,
        unique_until,
        error,
        message,
        parent,
        progress,
    )


def _message(failure: list[str] | None, reason: str) -> str | None:
    text = failure[1] if failure else reason
    return text[:MESSAGE_KEPT] or None


def _parent(headers: list[list[str | None]]) -> str | None:
    for name, value in headers:
        if name == h.CE_PARENT and value is not None:
            return value.encode("latin-1").decode()
    return None


def _progress(m: dict[str, Any]) -> tuple[int, int | None] | None:
    notes = m.get("notes")
    progress = None if notes is None else notes.get("progress")
    return None if progress is None else (progress[0], progress[1])
