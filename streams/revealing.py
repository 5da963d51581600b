"""Payloads with their secrets written out, as they travel: pydantic would write asterisks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AnySet
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json, to_jsonable_python

from streams.held import SECRETS, holds


def wire_json(model: BaseModel) -> bytes:
    """A payload as it travels: secrets are written out, which pydantic does not do.

    Raises:
        PydanticSerializationError: it holds what JSON can't.
    """
    if not holds(type(model)).has_secrets:
        return model.model_dump_json(by_alias=True, warnings="none").encode()
    plain = model.model_dump(mode="json", by_alias=True, warnings="none")
    objects = model.model_dump(mode="python", by_alias=True, warnings="none")
    return to_json(_revealed(plain, objects))


def _revealed(plain: Any, value: Any) -> Any:
    """The JSON of a value, with its secrets in the place of asterisks."""
    if isinstance(value, SECRETS):
        secret = value.get_secret_value()
        return secret.decode(errors="replace") if isinstance(secret, bytes) else secret
    if isinstance(value, Mapping) and isinstance(plain, dict):
        return {
            name: _revealed(shown, held)
            for (name, shown), held in zip(plain.items(), value.values(), strict=True)
        }
    if isinstance(value, AnySet) and isinstance(plain, list):  # which has no order
        return [_revealed(to_jsonable_python(each), each) for each in value]
    is_many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if is_many and isinstance(plain, list):
        return [_revealed(shown, held) for shown, held in zip(plain, value, strict=True)]
    return plain
