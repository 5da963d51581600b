"""Fields that nobody is to see: which they are, payloads without them, and with them on the wire.

A field is sensitive if its type is `SecretStr`, `SecretBytes` or another `Secret`, if it is
declared as `Sensitive[str]`, or with `Field(json_schema_extra={"sensitive": True})`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    Field,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import from_json, to_json

from streams.redaction import MASK as MASK

T = TypeVar("T")

Sensitive = Annotated[T, Field(json_schema_extra={"sensitive": True})]
"""`Sensitive[str]`: a plain value that no page, log, metric or trace shows."""

_LEAST: Final = 4  # characters of a value that is looked for in texts
_DEEPEST: Final = 100
_LOOKS_SECRET: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|apikey|authoriz|credential|privatekey|accesskey|cookie|"
    r"cardnumber|cvv|^pin$|^iban$|^ssn$|^auth$|signature"
)
_SECRETS: Final = (SecretStr, SecretBytes, Secret)

Replace = Callable[[Any], Any]


def masked(contract: type[BaseModel] | None, value: Any) -> Any:
    """A payload as JSON values, without what is sensitive.

    Without a contract, and where it leaves open what a value is, names decide.
    """
    return _replaced(contract, value, lambda _: MASK)


def secrets_in(contract: type[BaseModel] | None, value: Any) -> frozenset[str]:
    """The sensitive texts and numbers of a payload, as they may stand in messages."""
    found: set[str] = set()

    def note(secret: Any) -> str:
        found.update(_texts(secret))
        return MASK

    _replaced(contract, value, note)
    return frozenset(text for text in found if len(text) >= _LEAST)


def secrets_of(contract: type[BaseModel], payload: bytes) -> frozenset[str]:
    """The same of a payload's bytes; none for a contract that declares none."""
    if not sensitive_names(contract):
        return frozenset()
    try:
        return secrets_in(contract, from_json(payload))
    except ValueError:
        return frozenset()


@lru_cache(maxsize=1_000)
def sensitive_names(contract: type[BaseModel]) -> frozenset[str]:
    """The names of all sensitive fields, however deep; none for most contracts."""
    found: set[str] = set()
    seen: set[Any] = set()

    def look(annotation: Any) -> None:
        if _is_model(annotation):
            if annotation in seen:
                return
            seen.add(annotation)
            for name, field in annotation.model_fields.items():
                if _is_sensitive(field) or _holds_secret(field.annotation):
                    found.update(_names(name, field))
                look(field.annotation)
        for part in get_args(annotation):
            look(part)

    look(contract)
    return frozenset(found)


def mistake_in(contract: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    """Where the first mistake of a payload is, and what it is; nothing of a value is told."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    is_own = first["type"] in ("value_error", "assertion_error")  # said by the contract's code
    hidden = sensitive_names(contract)
    if is_own and hidden and (not first["loc"] or hidden & set(first["loc"])):
        return field, "it does not fit; what its contract says of it may show what is sensitive"
    return field, first["msg"]


def wire_json(model: BaseModel) -> bytes:
    """A payload as it travels: secrets are written out, which pydantic does not do.

    Raises:
        PydanticSerializationError: it holds what JSON can't.
    """
    if not sensitive_names(type(model)):
        return model.model_dump_json(by_alias=True, warnings="none").encode()
    plain = model.model_dump(mode="json", by_alias=True, warnings="none")
    objects = model.model_dump(mode="python", by_alias=True, warnings="none")
    return to_json(_revealed(plain, objects))


def _revealed(plain: Any, value: Any) -> Any:
    """The JSON of a value, with its secrets in the place of asterisks."""
    if isinstance(value, _SECRETS):
        secret = value.get_secret_value()
        return secret.decode(errors="replace") if isinstance(secret, bytes) else secret
    if isinstance(value, Mapping) and isinstance(plain, dict):
        return {
            name: _revealed(shown, held)
            for (name, shown), held in zip(plain.items(), value.values(), strict=True)
        }
    is_many = isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes)
    if is_many and isinstance(plain, list):
        return [_revealed(shown, held) for shown, held in zip(plain, value, strict=True)]
    return plain


def _replaced(annotation: Any, value: Any, replace: Replace, depth: int = 0) -> Any:
    """The value, with what is sensitive in it replaced."""
    if value is None:
        return None
    if depth > _DEEPEST:
        return replace(value)
    if (isinstance(annotation, type) and issubclass(annotation, _SECRETS)) or get_origin(
        annotation
    ) is Secret:
        return replace(value)
    if _is_model(annotation):
        return _of_model(annotation, value, replace, depth)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if any(isinstance(each, FieldInfo) and _is_sensitive(each) for each in parts[1:]):
            return replace(value)
        return _replaced(parts[0], value, replace, depth)
    if origin in (Union, UnionType):
        for part in parts:
            value = _replaced(part, value, replace, depth)
        return value
    if isinstance(value, dict):
        is_told = parts and isinstance(origin, type) and issubclass(origin, Mapping)
        if is_told and parts[1] not in (Any, object):
            return {
                name: _replaced(parts[1], each, replace, depth + 1) for name, each in value.items()
            }
        return _by_names(value, replace, depth)
    if isinstance(value, list):
        of = parts[0] if parts else None
        if origin is tuple and len(parts) == len(value) and Ellipsis not in parts:
            return [
                _replaced(part, each, replace, depth + 1)
                for part, each in zip(parts, value, strict=True)
            ]
        return [_replaced(of, each, replace, depth + 1) for each in value]
    return value


def _of_model(model: type[BaseModel], value: Any, replace: Replace, depth: int) -> Any:
    if issubclass(model, RootModel):
        root = model.model_fields["root"]
        if _is_sensitive(root):
            return replace(value)
        return _replaced(root.annotation, value, replace, depth + 1)
    if not isinstance(value, dict):
        return value
    fields = {
        shown: field for name, field in model.model_fields.items() for shown in _names(name, field)
    }
    held: dict[str, Any] = {}
    for name, each in value.items():
        field = fields.get(name)
        if field is None:
            held |= _by_names({name: each}, replace, depth)
        elif _is_sensitive(field):
            held[name] = None if each is None else replace(each)
        else:
            held[name] = _replaced(field.annotation, each, replace, depth + 1)
    return held


def _by_names(value: dict[str, Any], replace: Replace, depth: int) -> dict[str, Any]:
    """Of an object that nobody has described."""
    return {
        name: replace(each)
        if each is not None and looks_secret(name)
        else _replaced(None, each, replace, depth + 1)
        for name, each in value.items()
    }


def looks_secret(name: str) -> bool:
    """Whether something is called as secrets are."""
    return _LOOKS_SECRET.search(re.sub(r"[^a-z0-9]", "", name.lower())) is not None


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_sensitive(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra.get("sensitive") is True:
        return True
    return any(isinstance(each, FieldInfo) and _is_sensitive(each) for each in field.metadata)


def _holds_secret(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, _SECRETS):
        return True
    if get_origin(annotation) is Secret:
        return True
    parts = get_args(annotation)
    if any(isinstance(each, FieldInfo) and _is_sensitive(each) for each in parts):
        return True
    return any(_holds_secret(part) for part in parts)


def _names(name: str, field: FieldInfo) -> set[str]:
    """Under which names a field may be in JSON."""
    told = (field.alias, field.validation_alias, field.serialization_alias)
    return {name, *(each for each in told if isinstance(each, str))}


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
