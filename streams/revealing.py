"""Payloads with their secrets written out, as they travel: pydantic would write asterisks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AnySet
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from streams.held import SECRETS, holds

_STARS_BYTES: Final = b'"**********"'  # what pydantic writes for a secret


def wire_json(model: BaseModel) -> bytes:
    """A payload as it travels: secrets are written out, which pydantic does not do.

    Raises:
        PydanticSerializationError: it holds what JSON can't, or a secret that can't be got at.
    """
    if not holds(type(model)).has_secrets:
        told = model.model_dump_json(by_alias=True, warnings="none").encode()
        if _STARS_BYTES not in told:  # else a subclass may have secrets that its type does not say
            return told
    return to_json(_revealed_model(model))


def _revealed_model(model: BaseModel) -> Any:
    plain = model.model_dump(mode="json", by_alias=True, warnings="none")
    objects = model.model_dump(mode="python", by_alias=True, warnings="none")
    return _revealed(plain, objects)


def _revealed(plain: Any, value: Any) -> Any:
    """The JSON of a value, with its secrets in the place of asterisks."""
    if isinstance(value, SECRETS):
        return _written_out(value.get_secret_value())
    if isinstance(value, Mapping) and isinstance(plain, dict):
        return _revealed_mapping(plain, value)
    if isinstance(value, AnySet) and isinstance(plain, list):  # which has no order
        return [_revealed(to_jsonable_python(each), each) for each in value]
    is_many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if is_many and isinstance(plain, list) and len(plain) == len(value):
        return [_revealed(shown, held) for shown, held in zip(plain, value, strict=True)]
    if not isinstance(value, str) and _STARS_BYTES in to_json(plain):
        raise PydanticSerializationError(
            f"a secret in a {type(value).__name__} can't be written out: hold it in a list, a "
            "mapping or a field of a model"
        )
    return plain


def _revealed_mapping(plain: dict[str, Any], value: Mapping[Any, Any]) -> dict[str, Any]:
    if any(isinstance(key, SECRETS) for key in value):  # of which many are the same asterisks
        return {
            str(_revealed(to_jsonable_python(key), key)): _revealed(to_jsonable_python(held), held)
            for key, held in value.items()
        }
    return {
        name: _revealed(shown, held)
        for (name, shown), held in zip(plain.items(), value.values(), strict=True)
    }


def _written_out(secret: Any) -> Any:
    if isinstance(secret, bytes):
        return secret.decode(errors="replace")
    if isinstance(secret, BaseModel):
        return _revealed_model(secret)
    return _revealed(to_jsonable_python(secret), secret)
