"""What a handler hands over, as JSON: results, checkpoints; with the field that is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError

_any: Final = TypeAdapter(Any)
_DEEPEST: Final = 50
_LONG: Final = re.compile(rb"\d{19}")


def as_json(value: Any, what: str) -> bytes:
    """A value as JSON: models, dataclasses, dates, UUIDs and the like included.

    Raises:
        TypeError: something in it can't be written as JSON; the message begins with its place,
            as in `result.rows[3].image`, `what` being the name of the whole.
    """
    try:
        written = _any.dump_json(value)
        if _LONG.search(written):  # perhaps in a text; rare enough to look at all of it
            _refuse_long(value, what, 0)
        return written
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        place, part = _culprit(value, what, 0)
        raise TypeError(
            f"{place}: a value of type {type(part).__name__} can't be kept as JSON ({error})"
        ) from None


def _refuse_long(value: Any, place: str, depth: int) -> None:
    """Whole numbers beyond 64 bits would come back as other ones, or not at all."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise TypeError(f"{place}: a whole number beyond 64 bits can't be kept: keep it as text")
    if depth < _DEEPEST:
        for step, part in _parts(value):
            _refuse_long(part, place + step, depth + 1)


def _culprit(value: Any, place: str, depth: int) -> tuple[str, Any]:
    """The innermost part that can't be written, and where it is."""
    if depth < _DEEPEST:
        for step, part in _parts(value):
            try:
                _any.dump_json(part)
            except (PydanticSerializationError, ValueError, RecursionError):
                return _culprit(part, place + step, depth + 1)
    return place, value


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f".{key}", part) for key, part in value.items()]
    if isinstance(value, BaseModel):
        return [(f".{name}", part) for name, part in value]
    if isinstance(value, str | bytes | bytearray):
        return []
    if isinstance(value, Sequence):
        return [(f"[{at}]", part) for at, part in enumerate(value)]
    if isinstance(value, Set):
        return [("{}", part) for part in value]
    if hasattr(value, "__dataclass_fields__"):
        return [(f".{name}", getattr(value, name)) for name in value.__dataclass_fields__]
    return []
