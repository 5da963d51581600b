"""Durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache

Duration = str | timedelta

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST_MS = 1_000 * 365 * 86_400_000
"""A thousand years: no time that is due later can be written."""

_NONE = '{!r} is no duration: write "250ms", "30s", "10m", "1h" or "7d"'
_NEGATIVE = '{} is negative: a duration is not; write "250ms", "30s", "10m", "1h" or "7d"'
_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")


def to_ms(duration: Duration) -> int:
    """Milliseconds of "250ms", "30s", "10m", "1h", "7d" or a timedelta.

    Raises:
        ValueError: it is none of these, negative, or longer than a thousand years.
    """
    if isinstance(duration, timedelta):
        ms = round(duration.total_seconds() * 1000)
        if ms < 0:
            raise ValueError(_NEGATIVE.format(f"-{format_ms(-ms)}"))
        return _checked(ms, duration)
    if isinstance(duration, str):
        return _read(duration)
    raise ValueError(_NONE.format(duration))


@lru_cache(maxsize=256)  # those of definitions are asked for again and again
def _read(duration: str) -> int:
    written = duration.strip()
    match = _PATTERN.fullmatch(written)
    if match is None:
        if written.startswith("-") and _PATTERN.fullmatch(written[1:]):
            raise ValueError(_NEGATIVE.format(written))
        raise ValueError(_NONE.format(duration))
    return _checked(round(float(match[1]) * _UNITS[match[2]]), duration)


def _checked(ms: int, duration: Duration) -> int:
    if ms > LONGEST_MS:
        raise ValueError(f"{duration} is longer than a thousand years")
    return ms


def format_ms(ms: int) -> str:
    """The shortest way to write a duration: `90000` is "90s", `60000` is "1m"."""
    for unit in ("d", "h", "m", "s"):
        if ms and ms % _UNITS[unit] == 0:
            return f"{ms // _UNITS[unit]}{unit}"
    return f"{ms}ms"
