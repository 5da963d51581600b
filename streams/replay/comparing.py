"""What an old event came to then, and what it comes to now: the same, or not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

TOLD_MAX: Final = 1_000_000
"""Characters that are kept of each value of a difference."""
_WORDS_MAX: Final = 500  # characters of an outcome


class Ended(StrEnum):
    """How a run ended, then or now. A job that failed is dead; one attempt now stands for all."""

    COMPLETED = "completed"
    FAILED = "failed"
    DISCARDED = "discarded"
    SNOOZED = "snoozed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A job that a handler enqueued, or an event that it emitted; the payload is JSON."""

    name: str
    key: str | None
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a job came to."""

    ended: Ended
    result: bytes | None = None  # JSON
    error: str = ""  # its type
    message: str = ""  # of the error; why it was discarded
    sent: tuple[Sent, ...] = ()
    trace: str = field(default="", compare=False)  # of the error: code moves, and that is no change

    def told(self) -> str:
        """In a few words."""
        said = ": ".join(part for part in (self.error, self.message.partition("\n")[0]) if part)
        return cut(f"{self.ended}: {said}" if said else str(self.ended), _WORDS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it was; both values whole, up to `TOLD_MAX` characters."""

    what: str  # outcome, error, result, sent or key
    then: str
    now: str
    at: str = ""  # where in a result they begin to differ, as in rows[3].id


def differences(
    then: Account, now: Account, ignored: frozenset[str] = frozenset()
) -> tuple[Difference, ...]:
    """What is not as it was; `ignored` are fields of results and payloads, wherever they are.

    Of errors the types are compared, as messages are full of ids and times. What was sent is
    compared if the outcome is the same: what fails half way has sent half.
    """
    if then.ended is not now.ended:
        return (Difference(what="outcome", then=then.told(), now=now.told()),)
    found = []
    if then.error != now.error:
        found.append(Difference(what="error", then=then.told(), now=now.told()))
    before, after = canonical(then.result, ignored), canonical(now.result, ignored)
    if before != after:
        found.append(
            Difference(what="result", then=cut(before), now=cut(after), at=_apart_at(before, after))
        )
    lost, new = _apart(_counted(then.sent, ignored), _counted(now.sent, ignored))
    if lost or new:
        found.append(Difference(what="sent", then=_listed(lost), now=_listed(new)))
    return tuple(found)


def canonical(json: bytes | None, ignored: frozenset[str] = frozenset()) -> str:
    """JSON in its one form, without some fields; what is no JSON stays as it is."""
    if json is None:
        return "null"
    try:
        value = orjson.loads(json)
    except orjson.JSONDecodeError:
        return json.decode(errors="backslashreplace")
    if ignored:
        value = _without(value, ignored)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def fields_of(account: Account) -> set[str]:
    """The names of all fields of a result and of what was sent."""
    found: set[str] = set()
    for json in (account.result, *(each.payload for each in account.sent)):
        try:
            _add_fields(orjson.loads(json or b"null"), found)
        except orjson.JSONDecodeError:
            continue
    return found


def _add_fields(value: Any, found: set[str]) -> None:
    if isinstance(value, dict):
        found.update(value)
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _add_fields(each, found)


def _without(value: Any, ignored: frozenset[str]) -> Any:
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in ignored}
        return {name: _without(each, ignored) for name, each in kept.items()}
    return [_without(each, ignored) for each in value] if isinstance(value, list) else value


def _counted(sent: Iterable[Sent], ignored: frozenset[str]) -> Counter[str]:
    return Counter(_said(each, ignored) for each in sent)


def _said(sent: Sent, ignored: frozenset[str]) -> str:
    key = "" if sent.key is None else f" for {sent.key}"
    return f"{sent.name}{key} {canonical(sent.payload, ignored)}"


def _apart(then: Counter[str], now: Counter[str]) -> tuple[list[str], list[str]]:
    return list((then - now).elements()), list((now - then).elements())


def _listed(messages: list[str]) -> str:
    return cut("; ".join(messages)) or "nothing else"


def _apart_at(then: str, now: str) -> str:
    """The way to the first value that is not the same; nothing if that is the whole."""
    try:
        before, after = orjson.loads(then), orjson.loads(now)
    except orjson.JSONDecodeError:
        return ""
    way = ""
    while True:
        if isinstance(before, dict) and isinstance(after, dict):
            name = min(n for n in before | after if _is_other(before, after, n))
            way += f".{name}" if way else name
            if name not in before or name not in after:
                return way
            before, after = before[name], after[name]
        elif isinstance(before, list) and isinstance(after, list):
            both = zip(before, after, strict=False)
            shorter = min(len(before), len(after))
            at = next((n for n, (a, b) in enumerate(both) if _differ(a, b)), shorter)
            way += f"[{at}]"
            if at == shorter:
                return way
            before, after = before[at], after[at]
        else:
            return way


def _is_other(before: dict[str, Any], after: dict[str, Any], name: str) -> bool:
    return name not in before or name not in after or _differ(before[name], after[name])


def _differ(before: Any, after: Any) -> bool:
    """Whether these are two values in JSON: 1 and true are, and so are 1 and 1.0."""
    sort = orjson.OPT_SORT_KEYS
    return orjson.dumps(before, option=sort) != orjson.dumps(after, option=sort)


def cut(text: str, most: int = TOLD_MAX) -> str:
    """A text of which the rest is left out, with how long it was."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def around_difference(then: str, now: str, room: int) -> tuple[str, str]:
    """Two texts, cut to that part in which they begin to differ if one has more than `room`."""
    if max(len(then), len(now)) <= room:
        return then, now
    pairs = enumerate(zip(then, now, strict=False))
    at = next((n for n, (a, b) in pairs if a != b), min(len(then), len(now)))
    start = max(0, at - room // 4)
    return _part(then, start, room, at), _part(now, start, room, at)


def _part(text: str, start: int, room: int, at: int) -> str:
    before = "..." if start else ""
    after = "..." if start + room < len(text) else ""
    where = f"differs from character {at + 1:,} of {len(text):,} on"
    if at >= len(text):
        where = f"it ends here, after {len(text):,} characters"
    return f"{before}{text[start : start + room]}{after} ({where})"
