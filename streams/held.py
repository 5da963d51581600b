"""What the types of a contract hold: secrets, and values that nobody has described."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from uuid import UUID

from pydantic import Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from streams.fields import fields_of, has_hash, is_marked, plain_type, root_of

SECRETS: Final = (SecretStr, SecretBytes, Secret)
PLAIN: Final = (
    *(str, bytes, int, float, Decimal, Enum, UUID, PurePath, NoneType),
    *(datetime.date, datetime.time, datetime.timedelta, IPv4Address, IPv6Address),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Of one type, however deep."""

    names: frozenset[str]  # of sensitive fields
    has_secrets: bool
    is_open: bool  # some value may be anything, so that names decide what is sensitive in it


def is_secret(annotation: Any) -> bool:
    """Whether this is a type, or an annotation, of what is sensitive."""
    origin = get_origin(annotation)
    if origin is Annotated:
        marks = get_args(annotation)[1:]
        return any(isinstance(each, FieldInfo) and is_marked(each) for each in marks)
    kind = origin or annotation
    return isinstance(kind, type) and issubclass(kind, SECRETS)


def holds(annotation: Any) -> Held:
    """What a type holds."""
    look = _holds if has_hash(annotation) else _holds.__wrapped__
    return look(annotation)


@lru_cache(maxsize=1_000)
def _holds(annotation: Any) -> Held:
    look = _Look()
    look.at(annotation, frozenset())
    return Held(names=frozenset(look.names), has_secrets=look.has_secrets, is_open=look.is_open)


class _Look:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.has_secrets = self.is_open = False
        # With the types themselves, so that none of another has their number meanwhile.
        self._seen: dict[tuple[int, frozenset[str]], Any] = {}

    def at(self, annotation: Any, names: frozenset[str]) -> None:
        """Look at a type; it is that of the field with these names."""
        if (id(annotation), names) in self._seen:
            return
        self._seen[id(annotation), names] = annotation
        kind = plain_type(annotation)
        if is_secret(kind):
            self._found(names)
        elif get_origin(kind) is Annotated:
            self.at(get_args(kind)[0], names)
        elif (root := root_of(kind)) is not None:
            self._field(root.annotation, names | {"root"}, is_marked(root))
        elif (fields := fields_of(kind)) is not None:
            for field in fields.all:
                on_the_way = {each for path in field.paths for each in path}
                all_names = field.names | {each for each in on_the_way if isinstance(each, str)}
                self._field(field.type, all_names, field.is_marked)
            if fields.extra is not None:
                self.at(fields.extra, names)
            elif fields.is_open:
                self.is_open = True
        elif get_origin(kind) is Literal:
            pass
        elif parts := [each for each in get_args(kind) if each is not Ellipsis]:
            for part in parts:
                self.at(part, names)
            origin = get_origin(kind)  # names in a mapping are anybody's
            self.is_open |= isinstance(origin, type) and issubclass(origin, Mapping)
        elif kind is not None and not (isinstance(kind, type) and issubclass(kind, PLAIN)):
            self.is_open = True

    def _field(self, annotation: Any, names: frozenset[str], is_marked: bool) -> None:
        if is_marked:
            self._found(names)
        else:
            self.at(annotation, names)

    def _found(self, names: frozenset[str]) -> None:
        self.has_secrets = True
        self.names |= names
