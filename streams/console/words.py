"""Numbers and times as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_SECOND: Final = 1000
_UNITS: Final = (
    ("d", 24 * 60 * 60 * _SECOND),
    ("h", 60 * 60 * _SECOND),
    ("min", 60 * _SECOND),
    ("s", _SECOND),
)
FAR_BEHIND: Final = 1_000
"""Records; fewer are on their way at any time."""
_STATES: Final = {"dead": "failed"}


def span(ms: float) -> str:
    """A length of time in its two largest units: `2 h 5 min`, `850 ms`."""
    rest = abs(int(ms))
    if rest < _SECOND:
        return f"{rest} ms"
    if rest < 10 * _SECOND:
        return f"{rest / _SECOND:.1f} s"
    parts = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and not count):
            break
    return " ".join(parts)


def ago(ms: int, now: int) -> str:
    """When something was, or will be, seen from `now`."""
    past = now - ms
    if abs(past) < _SECOND:
        return "just now"
    return f"{span(past)} ago" if past > 0 else f"in {span(past)}"


def clock(ms: int) -> str:
    """A time of day with its date, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(ms: int) -> str:
    """For machines."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def number(value: float) -> str:
    """With thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def rate(per_minute: float) -> str:
    """So many a minute, or a second where these are many."""
    if per_minute == 0:
        return "0"
    if per_minute >= 600:
        return f"{number(per_minute / 60)}/s"
    return f"{number(per_minute)}/min" if per_minute >= 10 else f"{per_minute:.1f}/min"


def size(count: int) -> str:
    """So many bytes."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def several(count: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"


def state_word(state: str) -> str:
    """The word that people know a state by."""
    return _STATES.get(state, state)


def short(name: str) -> str:
    """A handler's name without the modules in front of it."""
    return name.rpartition(".")[2] or name


def following(*, connected: bool, built: bool, lag: int, share: float) -> tuple[str, str]:
    """How a projection stands, in a word that seldom changes, and exactly."""
    if not connected:
        return "Kafka does not answer", ""
    if not built:
        return "Building the lists", f"{100 * share:.0f} %"
    if lag > FAR_BEHIND:
        return "Behind Kafka", several(lag, "record")
    return "Follows Kafka", f"{several(lag, 'record')} behind" if lag else "up to date"
