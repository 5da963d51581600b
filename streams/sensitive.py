"""Fields that nobody is to see: payloads without them, and their texts, which messages may have.

A field is sensitive if its type is `SecretStr`, `SecretBytes` or another `Secret`, if it is
declared as `Sensitive[str]`, or with `Field(json_schema_extra={"sensitive": True})`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import from_json

from streams.fields import (
    Fields,
    JsonField,
    Path,
    fields_of,
    folded,
    is_marked,
    plain_type,
    root_of,
)
from streams.held import PLAIN, holds, is_secret
from streams.redaction import MASK as MASK

T = TypeVar("T")

Sensitive = Annotated[T, Field(json_schema_extra={"sensitive": True})]
"""`Sensitive[str]`: a plain value that no page, log, metric or trace shows."""

_LEAST: Final = 4  # characters of a value that is looked for in texts
_TOLD_LEAST: Final = 6  # of one that is looked for in other values: a shorter one is in many
_DEEPEST: Final = 100
_LOOKS_SECRET: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|apikey|authoriz|credential|privatekey|accesskey|cookie|"
    r"cardnumber|cvv|^pin$|^iban$|^ssn$|^auth$|signature"
)

Replace = Callable[[Any], Any]


def masked(contract: type[BaseModel] | None, value: Any) -> Any:
    """A payload as JSON values, without what is sensitive.

    Without a contract, and where it leaves open what a value is, names decide. What has another
    form than its type, in the place of something with secrets, is masked whole; so is a text that
    has one of the secrets in it, as a field that is computed from it may have.
    """
    shown = _replaced(contract, value, lambda _: MASK)
    secrets = [each for each in secrets_in(contract, value) if len(each) >= _TOLD_LEAST]
    return _without_texts(shown, secrets, 0) if secrets else shown


def secrets_in(contract: type[BaseModel] | None, value: Any) -> frozenset[str]:
    """The sensitive texts and numbers of a payload, as they may stand in messages."""
    found: set[str] = set()

    def note(secret: Any) -> str:
        found.update(_texts(secret))
        return MASK

    _replaced(contract, value, note)
    return frozenset(text for text in found if len(text) >= _LEAST)


def _without_texts(value: Any, secrets: list[str], depth: int) -> Any:
    """The value, with texts masked that have a secret in them."""
    if isinstance(value, str):
        return MASK if any(each in value for each in secrets) else value
    if depth >= _DEEPEST:
        return value
    if isinstance(value, dict):
        return {name: _without_texts(each, secrets, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_texts(each, secrets, depth + 1) for each in value]
    return value


def secrets_of(contract: type[BaseModel], payload: bytes) -> frozenset[str]:
    """The same of a payload's bytes; for most contracts it is known that there are none."""
    held = holds(contract)
    if not held.has_secrets and not held.is_open:
        return frozenset()
    try:
        return secrets_in(contract, from_json(payload))
    except ValueError:
        return frozenset()


def sensitive_names(contract: type[BaseModel]) -> frozenset[str]:
    """The names of all sensitive fields, however deep; none for most contracts."""
    return holds(contract).names


def mistake_in(contract: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    """Where the first mistake of a payload is, and what it is; nothing of a value is told."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    is_own = first["type"] in ("value_error", "assertion_error")  # said by the contract's code
    hidden = sensitive_names(contract)
    if is_own and hidden and (not first["loc"] or hidden & set(first["loc"])):
        return field, "it does not fit; what its contract says of it may show what is sensitive"
    return field, first["msg"]


def _replaced(annotation: Any, value: Any, replace: Replace, depth: int = 0) -> Any:
    """The value, with what is sensitive in it replaced."""
    if value is None:
        return None
    kind = plain_type(annotation)
    if depth > _DEEPEST or is_secret(kind):
        return replace(value)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _replaced(parts[0], value, replace, depth)
    if origin in (Union, UnionType):
        return _of_union(kind, value, replace, depth)
    if (root := root_of(kind)) is not None:
        marked = is_marked(root)
        return replace(value) if marked else _replaced(root.annotation, value, replace, depth + 1)
    if not _has_form(kind, value) and holds(kind).has_secrets:
        return replace(value)
    fields = fields_of(kind)
    if isinstance(value, dict):
        if fields is not None:
            return _of_object(fields, value, replace, depth)
        if parts and _is_of(origin, Mapping):
            return _by_names(value, replace, depth, parts[1])
        return _by_names(value, replace, depth)
    if isinstance(value, list):
        return _of_array(kind, fields, value, replace, depth)
    return value


def _of_union(union: Any, value: Any, replace: Replace, depth: int) -> Any:
    """By each type that it may be of: what one of them hides is hidden."""
    kinds = [each for each in get_args(union) if each is not NoneType]
    fitting = [each for each in kinds if _has_form(each, value)]
    if not fitting and holds(union).has_secrets:
        return replace(value)
    for each in [each for each in fitting if _has_tag(each, value)] or fitting or [None]:
        value = _replaced(each, value, replace, depth)
    return value


def _has_form(annotation: Any, value: Any) -> bool:
    """Whether a value has the JSON form of a type, as far as that is known."""
    kind = plain_type(annotation)
    origin = get_origin(kind)
    if value is None or is_secret(kind) or kind in (Any, object, None):
        return True
    if origin is Annotated:
        return _has_form(get_args(kind)[0], value)
    if origin in (Union, UnionType):
        return any(_has_form(each, value) for each in get_args(kind))
    if (root := root_of(kind)) is not None:
        return _has_form(root.annotation, value)
    if (fields := fields_of(kind)) is not None:
        return isinstance(value, dict | list if fields.places else dict)
    of = origin or kind
    if _is_of(of, Mapping):
        return isinstance(value, dict)
    if _is_of(of, str | bytes) or not _is_of(of, Iterable):
        return not isinstance(value, dict | list) or not _is_of(of, PLAIN)
    return isinstance(value, list)


def _has_tag(annotation: Any, value: Any) -> bool:
    """Whether an object has the constants that its class names, by which unions tell it apart."""
    fields = fields_of(plain_type(annotation))
    if fields is None or not isinstance(value, dict):
        return True
    for field in fields.all:
        kind = plain_type(field.type)
        if get_origin(kind) is Literal:
            allowed = [getattr(each, "value", each) for each in get_args(kind)]
            if any(value[name] not in allowed for name in field.names if name in value):
                return False
    return True


def _of_object(fields: Fields, value: dict[str, Any], replace: Replace, depth: int) -> Any:
    for field in fields.all:
        for path in field.paths:
            value = _at(path, value, field, replace, depth)
    held: dict[str, Any] = {}
    for name, each in value.items():
        own = fields.of(name)
        if own is None:
            held |= _by_names({name: each}, replace, depth, fields.extra)
        else:
            held[name] = _of_field(own, each, replace, depth)
    return held


def _of_field(field: JsonField, value: Any, replace: Replace, depth: int) -> Any:
    if field.is_marked:
        return None if value is None else replace(value)
    return _replaced(field.type, value, replace, depth + 1)


def _at(path: Path, value: Any, field: JsonField, replace: Replace, depth: int) -> Any:
    """The value, with what its field takes from a place deeper in it replaced there."""
    if not path:
        return _of_field(field, value, replace, depth)
    step, rest = path[0], path[1:]
    if isinstance(value, dict) and step in value:
        return {**value, step: _at(rest, value[step], field, replace, depth)}
    if isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
        changed = list(value)
        changed[step] = _at(rest, value[step], field, replace, depth)
        return changed
    return value


def _of_array(
    kind: Any, fields: Fields | None, value: list[Any], replace: Replace, depth: int
) -> list[Any]:
    origin, parts = get_origin(kind), get_args(kind)
    if fields is not None and len(value) <= len(fields.places):
        return [
            _of_field(field, each, replace, depth)
            for field, each in zip(fields.places, value, strict=False)
        ]
    of: Any = parts[0] if parts else None
    if origin is tuple and Ellipsis not in parts:
        if len(parts) == len(value):
            return [
                _replaced(part, each, replace, depth + 1)
                for part, each in zip(parts, value, strict=True)
            ]
        of = Union[parts] if parts else None  # noqa: UP007  # they are known here alone
    return [_replaced(of, each, replace, depth + 1) for each in value]


def _by_names(value: dict[str, Any], replace: Replace, depth: int, of: Any = None) -> Any:
    """Of an object whose names nobody has described; `of` is the type of its values."""
    return {
        name: replace(each)
        if each is not None and looks_secret(name)
        else _replaced(of, each, replace, depth + 1)
        for name, each in value.items()
    }


def looks_secret(name: str) -> bool:
    """Whether something is called as secrets are."""
    return _LOOKS_SECRET.search(folded(name)) is not None


def _is_of(kind: Any, base: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
