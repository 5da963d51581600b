"""Dead letters as lines of JSON, and back: each line has all that a letter has. Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import orjson

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.replay.letters import Letter
from streams.wire.envelope import Record, decode
from streams.wire.state import OpenEntry
from streams.wire.times import LATEST


def line_of(letter: Letter) -> bytes:
    """One line, without its end. What is no UTF-8 is written as `{"base64": ...}`."""
    job = letter.job
    return orjson.dumps(
        {
            "letter": letter.id,
            "job": None if job is None else job.name,
            "id": None if job is None else job.id,
            "key": None if job is None else job.ordering_key,
            "queue": letter.queue,
            "generation": letter.generation,
            "attempts": letter.attempts,
            "error": letter.error,
            "message": letter.message,
            "trace": letter.trace,
            "firstFailure": letter.first_failure,
            "lastFailure": letter.last_failure,
            "worker": letter.worker,
            "version": letter.version,
            "origin": list(letter.origin),
            "recordKey": _told(letter.record_key),
            "payload": _told(letter.payload),
            "headers": [[name, _told(value)] for name, value in letter.headers],
        }
    )


def letter_of_line(line: bytes) -> Letter:
    """The letter that `line_of` wrote.

    Raises:
        UndecodableRecord: the line is something else; the message says what is wrong.
    """
    try:
        told = orjson.loads(line)
        topic, partition, offset = told["origin"]
        origin = (str(topic), _number(partition), _number(offset))
        job = None
        if told["job"] is not None:
            key = told["key"]
            job = JobKey(
                name=str(told["job"]),
                ordering_key=None if key is None else str(key),
                id=str(told["id"]),
            )
        letter = Letter(
            key="/".join(map(str, origin)).encode(),
            queue=str(told["queue"]),
            job=job,
            generation=_number(told["generation"]),
            attempts=_number(told["attempts"]),
            error=str(told["error"]),
            message=str(told["message"]),
            trace=str(told["trace"]),
            first_failure=_number(told["firstFailure"]),
            last_failure=_number(told["lastFailure"]),
            origin=origin,
            worker=str(told["worker"]),
            version=str(told["version"]),
            place=(0, 0),
            record_key=_read(told["recordKey"]),
            payload=_read(told["payload"]),
            headers=tuple((str(name), _read(value)) for name, value in told["headers"]),
        )
    except KeyError as error:
        raise UndecodableRecord(
            f"it has no {error}: is it a line of `streams dlq export`?"
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"it is no line of `streams dlq export`: {error}") from None
    if letter.job is not None and letter.payload is None:
        raise UndecodableRecord("it has no payload")
    return letter


def record_of(letter: Letter) -> Record:
    """What it was when it arrived.

    Raises:
        UndecodableRecord: nobody can read it.
    """
    topic, partition, offset = letter.origin
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=letter.first_failure,
        key=letter.record_key,
        value=letter.payload,
        headers=letter.headers,
    )


def dead_entry(letter: Letter) -> OpenEntry:
    """The dead job that a letter is of; its letter is to be sent.

    Raises:
        UndecodableRecord: nobody can read it.
    """
    envelope = decode(record_of(letter))
    if letter.job is None:
        raise UndecodableRecord("it is of no job")
    return OpenEntry(
        job=letter.job,
        state=State.DEAD,
        time=envelope.time,
        generation=letter.generation,
        run=0,
        attempts=letter.attempts,
        arrival=letter.origin[2],
        due=letter.last_failure,
        blocks=False,
        record_key=letter.record_key,
        headers=letter.headers,
        payload=letter.payload or b"",
        reason="imported",
        failure=Failure(type=letter.error, message=letter.message, trace=letter.trace),
        first_failure=letter.first_failure,
        died=letter.last_failure,
        letter_pending=True,
        enqueued=envelope.time,
        origin=letter.origin,
    )


def _number(told: Any) -> int:
    value = int(told)
    if not 0 <= value <= LATEST:
        raise ValueError(f"{value} is out of range")
    return value


def _told(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def _read(told: Any) -> bytes | None:
    if told is None:
        return None
    if isinstance(told, str):
        return told.encode()
    return b64decode(told["base64"], validate=True)
