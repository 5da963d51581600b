"""Times on the wire: RFC 3339 with milliseconds, as milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

LATEST: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // _MS
"""The latest time that can be written."""
EARLIEST: Final = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // _MS


def show_time(ms: int) -> str:
    """`2026-11-24T02:15:00.000Z`; `ms` at most `LATEST`."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_time(text: str) -> int:
    """Milliseconds since the epoch; finer parts are cut off, a missing zone means UTC.

    Raises:
        ValueError: not a time, or none that could be written again in UTC.
    """
    moment = datetime.fromisoformat(text.strip().upper())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    ms = to_epoch_ms(moment)
    if not EARLIEST <= ms <= LATEST:
        raise ValueError(f"{text!r} is out of range")
    return ms


def to_epoch_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware `moment`."""
    return (moment - _EPOCH) // _MS
