"""The rows of the index that finds, for what arrives, those like it that are open or over."""

from __future__ import annotations

import struct
from typing import Final

from streams.values import immutable
from streams.wire.single import FOREVER, Single

SINGLE: Final = "single"  # scope, until when (the latest first), open or over, state key -> arrival

_length = struct.Struct(">I")
_number = struct.Struct(">Q")


@immutable(frozen=True, slots=True, kw_only=True)
class Mark:
    """One job that counts for those like it; times in milliseconds since the epoch."""

    state_key: bytes
    arrival: int  # the offset at which it came
    until: int  # it counts for those that were sent before


def mark_of_state(single: Single, state_key: bytes) -> Mark:
    """How a job counts that is open or over; `single` as it counts."""
    until = FOREVER if single.until is None else single.until
    return Mark(state_key=state_key, arrival=single.arrival, until=until)


def single_row(single: Single, state_key: bytes, *, is_over: bool) -> tuple[bytes, bytes]:
    """The row of a job, and its value.

    It follows from the job's entry, or its ledger record, alone: so it does not matter in which
    order they are written or recovered.
    """
    until = FOREVER if single.until is None else single.until
    row = _before(single.scope, until) + (b"\x01" if is_over else b"\x00") + state_key
    return row, _number.pack(single.arrival)


def rows_until(scope: str, sent: int) -> tuple[bytes, bytes]:
    """From where to where the rows are that count for what was sent then."""
    prefix = _prefix(scope)
    return prefix, _before(scope, max(sent, 0))


def read_mark(row: bytes, value: bytes) -> Mark:
    """What a row says."""
    (length,) = _length.unpack_from(row)
    at = _length.size + length
    (until,) = _number.unpack_from(row, at)
    (arrival,) = _number.unpack_from(value)
    return Mark(state_key=row[at + _number.size + 1 :], arrival=arrival, until=FOREVER - until)


def _prefix(scope: str) -> bytes:
    name = scope.encode()
    return _length.pack(len(name)) + name


def _before(scope: str, until: int) -> bytes:
    return _prefix(scope) + _number.pack(FOREVER - until)
