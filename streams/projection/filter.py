"""Which jobs are wanted, and where a page begins."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from streams.errors import StreamsError
from streams.projection.states import CODES, GROUPS, codes_of

_CURSOR_MAX: Final = 200


class BadFilter(StreamsError):
    """A filter or a cursor makes no sense; the message names it and says what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """All that is given has to be so; times in milliseconds since the epoch."""

    states: frozenset[int] = frozenset()  # none: all
    queue: str | None = None
    name: str | None = None
    key: str | None = None  # with its scope or without
    error: str | None = None  # the type
    text: str | None = None  # somewhere in id, key or message, in upper or lower case
    parent: str | None = None
    since: int | None = None  # since when it is in its state
    until: int | None = None

    def __post_init__(self) -> None:
        if any("\0" in each for each in (self.text, self.key, self.name, self.error) if each):
            raise BadFilter("a filter has a character with the code 0: nothing has, leave it out")


def read_states(words: str) -> frozenset[int]:
    """The states that a comma-separated list of states and groups of them means.

    Raises:
        BadFilter: one is no state.
    """
    codes: set[int] = set()
    for word in filter(None, (word.strip() for word in words.split(","))):
        try:
            codes.update(codes_of(word))
        except KeyError:
            known = ", ".join((*GROUPS, *CODES))
            raise BadFilter(f"state: {word[:40]!r} is none; write some of {known}") from None
    return frozenset(codes)


class Cursor(NamedTuple):
    """The last row that was looked at: a page goes on behind it."""

    at: int
    n: int
    newest_first: bool = True

    def text(self) -> str:
        """As it travels."""
        return urlsafe_b64encode(orjson.dumps([*self])).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor that `text` made.

        Raises:
            BadFilter: it was not made here.
        """
        try:
            if len(text) > _CURSOR_MAX:
                raise ValueError
            parts = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            at, n, newest_first = parts
            if not (type(at) is int and type(n) is int and type(newest_first) is bool):
                raise ValueError
            if not (abs(at) < 2**62 and abs(n) < 2**62):
                raise ValueError
            return cls(at, n, newest_first)
        except (ValueError, TypeError):
            raise BadFilter("cursor: not one that was given here; leave it out to begin") from None
