"""What an old event came to then, and what it comes to now: the same, or not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

_SENT_TOLD: Final = 5
_TOLD_MAX: Final = 500  # characters of a value


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

    def told(self) -> str:
        """In a few words."""
        said = ": ".join(part for part in (self.error, self.message.partition("\n")[0]) if part)
        return _cut(f"{self.ended}: {said}" if said else str(self.ended))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it was."""

    what: str  # outcome, error, result or sent
    then: str
    now: str


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
        found.append(Difference(what="result", then=_cut(before), now=_cut(after)))
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
    more = len(messages) - _SENT_TOLD
    told = [_cut(each) for each in messages[:_SENT_TOLD]]
    return "; ".join([*told, f"{more:,} more"] if more > 0 else told) or "nothing else"


def _cut(text: str) -> str:
    return text if len(text) <= _TOLD_MAX else f"{text[:_TOLD_MAX]}... ({len(text):,} characters)"
