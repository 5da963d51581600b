"""Times on the wire: RFC 3339 with milliseconds, as milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

LATEST: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // _MS
"""The latest time that can be written."""
EARLIEST: Final = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // _MS


def show_time(ms: int) -> str:
    """`2026-11-24T02:15:00.000Z`; `ms` at most `LATEST`."""
    second, rest = divmod(ms, 1000)
    return f"{_show_second(second)}.{rest:03d}Z"


def parse_time(text: str) -> int:
    """Milliseconds since the epoch; finer parts are cut off, a missing zone means UTC.

    Raises:
        ValueError: not a time, or none that could be written again in UTC.
    """
    if len(text) == 24 and text[19] == "." and text[23] == "Z":  # as we write it
        rest = text[20:23]
        if rest.isascii() and rest.isdigit():
            ms = _parse(text[:20] + "000Z") + int(rest)
            if ms <= LATEST:
                return ms
    return _parse(text)


def show_local(ms: int | None) -> str:
    """A time for people: this machine's, with its zone; nothing if there is none."""
    if not ms:
        return ""
    try:
        return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(" ", timespec="seconds")
    except (OverflowError, OSError, ValueError):  # out of the range of this system
        return f"{ms} ms"


# Times of one moment share their second, and the calendar is what is expensive about them.


@lru_cache(maxsize=256)
def _show_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat(timespec="seconds")[:-6]


@lru_cache(maxsize=256)
def _parse(text: str) -> int:
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
