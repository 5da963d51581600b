"""Which job is which: ids, and the key under which its state is kept."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import field

import orjson

from streams.values import immutable


@immutable(frozen=True, slots=True, kw_only=True)
class JobKey:
    """A job's identity: one id for a receipt and for a shipment is two jobs."""

    name: str
    ordering_key: str | None
    id: str
    _encoded: bytes = field(default=b"", init=False, repr=False, compare=False)

    def encode(self) -> bytes:
        """The state key; different jobs have different ones."""
        if not self._encoded:  # it is asked for at every step of a job
            # A copy: orjson's are cut from blocks of a kilobyte, and many of them that live long
            # shatter the heap, which makes each later one several times as expensive.
            dumped = orjson.dumps([self.name, self.ordering_key, self.id])
            encoded = memoryview(dumped).tobytes()
            object.__setattr__(self, "_encoded", encoded)
        return self._encoded

    @classmethod
    def decode(cls, key: bytes) -> JobKey:
        """The job of a state key.

        Raises:
            ValueError: these bytes are no state key.
        """
        name, ordering_key, id_ = read_state_key(key)
        return cls(name=name, ordering_key=ordering_key, id=id_)


def read_state_key(key: bytes) -> tuple[str, str | None, str]:
    """Name, ordering key and id of the job of a state key.

    Raises:
        ValueError: these bytes are no state key.
    """
    parts = orjson.loads(key)
    if type(parts) is list and len(parts) == 3:
        name, ordering_key, id_ = parts
        is_keyed = ordering_key is None or type(ordering_key) is str
        if type(name) is str and type(id_) is str and is_keyed:
            return name, ordering_key, id_
    raise ValueError(f"not a state key: {key[:80]!r}")


def new_id() -> str:
    """A UUIDv7 (RFC 9562): unique, and later ones sort later."""
    digits = (time.time_ns() // 1_000_000).to_bytes(6).hex() + os.urandom(10).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def fan_out_id(job_name: str, source: str, event_id: str) -> str:
    """The id of the job that an event starts: the same for each copy of the event."""
    return f"{job_name}:{_digest([source, event_id])}"


def child_id(
    parent: str, generation: int, name: str, key: str | None, payload: bytes, occurrence: int
) -> str:
    """The id of a child job: the same again when its parent's run is repeated."""
    content = hashlib.sha256(payload).hexdigest()
    return f"{name}:{_digest([parent, generation, name, key, content, occurrence])}"


def batch_id(parent: str, generation: int, name: str, key: str | None, content: str) -> str:
    """The id of a callback, the same again when its parent's run is repeated.

    `content` is a digest of it and all its children: what asks for others is another batch, or
    its children would be counted with those of the first.
    """
    return f"{name}:{_digest([parent, generation, name, key, content])}"


def batch_child_id(callback: JobKey, name: str, index: int) -> str:
    """The id of a callback's child."""
    return f"{name}:{_digest([callback.encode().decode(), index])}"


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]
