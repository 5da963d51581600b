"""What a worker and its processes say to each other: a line of JSON, and bytes behind it.

A worker says `hello`, then `run` for each job, in the end `end`; a process says `ready` or `failed`
to the first, `over` to the second, and meanwhile asks for an `append` or a `checkpoint`, which are
answered by `ok` or `refused`, and tells `progress` and each `line` of its log.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from streams.errors import AppendFailed
from streams.jobs.outcome import (
    Completed,
    Dead,
    Discarded,
    Failure,
    Outcome,
    Retrying,
    Snoozed,
)
from streams.worker.ports import Append

Message = Mapping[str, Any]

_HEAD: Final = struct.Struct(">II")  # bytes of the line, and behind it


def pack(message: Message, body: bytes = b"") -> bytes:
    """A message as it goes over the pipe."""
    line = orjson.dumps(message)
    return b"".join((_HEAD.pack(len(line), len(body)), line, body))


async def receive(reader: asyncio.StreamReader) -> tuple[Message, bytes]:
    """The next message.

    Raises:
        asyncio.IncompleteReadError, ConnectionError: nobody is at the other end any more.
    """
    line, body = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    return orjson.loads(await reader.readexactly(line)), await reader.readexactly(body)


class Pipe:
    """The end of the process, which blocks."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._file = end.makefile("rb")
        # A handler may have threads of its own.
        self._asking = threading.Lock()
        self._saying = threading.Lock()
        self._is_asked = False

    def say(self, message: Message, body: bytes = b"") -> None:
        """Send a message."""
        packed = pack(message, body)
        with self._saying:
            self._end.sendall(packed)

    def hear(self) -> tuple[Message, bytes]:
        """The next message.

        Raises:
            EOFError: the worker is gone.
        """
        line, body = _HEAD.unpack(self._read(_HEAD.size))
        return orjson.loads(self._read(line)), self._read(body)

    def _read(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) < size:
            raise EOFError("the worker is gone")
        return found

    def begin(self) -> None:
        """A handler runs: it may ask."""
        self._is_asked = True

    def end(self) -> None:
        """It does not run any more: who asks is answered first, or refused.

        A thread that it left behind must not read what is for the next one.
        """
        with self._asking:
            self._is_asked = False

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Let the worker append records, and wait for it; as `Log.append`, without a loop."""
        answer = self._ask({"say": "append", "records": [_told(record) for record in records]})
        return list(answer["offsets"])

    def keep_checkpoint(self, value: str) -> None:
        """Let the worker write a checkpoint, and wait for it."""
        self._ask({"say": "checkpoint"}, value.encode())

    def _ask(self, message: Message, body: bytes = b"") -> Message:
        with self._asking:
            if not self._is_asked:
                raise asyncio.CancelledError("the attempt is over")
            self.say(message, body)
            answer, _ = self.hear()
        if answer["say"] == "refused":
            raise AppendFailed(answer["why"])
        return answer


def _told(record: Append) -> list[Any]:
    headers = [(name, _text(value)) for name, value in record.headers]
    return [record.topic, record.partition, _text(record.key), _text(record.value), headers]


def read_appends(message: Message) -> list[Append]:
    """The records that a process wants to be appended."""
    return [
        Append(
            topic,
            partition,
            _bytes(key),
            _bytes(value),
            tuple((name, _bytes(text)) for name, text in headers),
        )
        for topic, partition, key, value, headers in message["records"]
    ]


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


def tell_outcome(outcome: Outcome) -> tuple[Message, bytes]:
    """An outcome as a message, and the result behind it."""
    match outcome:
        case Completed(result=result):
            return {"outcome": "completed"}, result or b""
        case Retrying(after_ms=after_ms, failure=failure):
            return {"outcome": "retrying", "ms": after_ms, "failure": _failure(failure)}, b""
        case Snoozed(for_ms=for_ms, blocks_key=blocks_key):
            return {"outcome": "snoozed", "ms": for_ms, "blocks_key": blocks_key}, b""
        case Discarded(reason=reason):
            return {"outcome": "discarded", "reason": reason}, b""
        case Dead(failure=failure, is_permanent=permanent):
            return {"outcome": "dead", "permanent": permanent, "failure": _failure(failure)}, b""
        case _:
            raise ValueError(f"a handler does not end with {outcome!r}")


def read_outcome(message: Message, body: bytes) -> Outcome:
    """What `tell_outcome` told."""
    match message["outcome"]:
        case "completed":
            return Completed(body or None)
        case "retrying":
            return Retrying(message["ms"], Failure(**message["failure"]))
        case "snoozed":
            return Snoozed(message["ms"], message["blocks_key"])
        case "discarded":
            return Discarded(message["reason"])
        case "dead":
            return Dead(Failure(**message["failure"]), message["permanent"])
        case other:
            raise ValueError(f"a process told an outcome that nobody knows: {other!r}")


def _failure(failure: Failure) -> dict[str, str]:
    return {"type": failure.type, "message": failure.message, "trace": failure.trace}
