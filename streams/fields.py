"""Fields of what payloads are made of, whichever kind of class describes it, as JSON has them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

import typing_extensions
from pydantic import AliasChoices, AliasPath, BaseModel, RootModel
from pydantic.fields import FieldInfo

_WRAPPERS: Final = ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar", "Unpack")

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonField:
    """One field; of `type` nothing is known where it is None."""

    names: frozenset[str]  # under which it may be there
    paths: tuple[Path, ...] = ()  # from which it may be taken as well
    type: Any = None
    is_marked: bool = False  # as sensitive, by its declaration


class Fields:
    """The fields of one class; `places` are the same in order, if an array may stand for it."""

    def __init__(
        self, all_: Iterable[JsonField], *, extra: Any = None, is_open: bool = False
    ) -> None:
        self.all = tuple(all_)
        self.extra = extra  # the type of what has no field; None: nobody has described it
        self.is_open = is_open  # what has no field is kept
        self.places: tuple[JsonField, ...] = ()
        # One name may be that of two: what is sensitive comes last, and is found.
        ordered = sorted(self.all, key=lambda each: each.is_marked)
        self._by_name = {name: each for each in ordered for name in each.names}
        self._by_spelling = {folded(name): each for name, each in self._by_name.items()}

    def of(self, name: str) -> JsonField | None:
        """The field of a name; an alias that a class around it has made counts as its own."""
        return self._by_name.get(name) or self._by_spelling.get(folded(name))


def folded(name: str) -> str:
    """A name without what spellings differ in: `card_number` and `cardNumber` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_marked(info: FieldInfo) -> bool:
    """Whether it is declared to be sensitive."""
    extra = info.json_schema_extra
    if isinstance(extra, dict) and extra.get("sensitive") is True:
        return True
    return any(isinstance(each, FieldInfo) and is_marked(each) for each in info.metadata)


def plain_type(annotation: Any) -> Any:
    """What an annotation stands for: names for types and what wraps them is taken away."""
    while True:
        origin, args = get_origin(annotation), get_args(annotation)
        if _is_alias(annotation):
            annotation = annotation.__value__
        elif _is_alias(origin):
            given = dict(zip(origin.__type_params__, args, strict=False))
            annotation = _filled(origin.__value__, given)
        elif origin is not None and getattr(origin, "_name", None) in _WRAPPERS:
            annotation = args[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeVar):
            bound = annotation.__bound__
            annotation = Any if bound is None else bound
        else:
            return annotation


def root_of(annotation: Any) -> FieldInfo | None:
    """What a root model is of; None if it is none."""
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return annotation.model_fields["root"]
    return None


def fields_of(annotation: Any) -> Fields | None:
    """The fields of a model, a data class, a typed dictionary or a named tuple; None of others."""
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type) or kind in (tuple, UnionType):
        return None
    args = get_args(annotation)
    find = _fields_of if has_hash(args) else _fields_of.__wrapped__
    return find(kind, args)


def has_hash(value: Any) -> bool:
    """Whether a type can be remembered: what it is annotated with may be anything."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=1_000)
def _fields_of(kind: type, args: tuple[Any, ...]) -> Fields | None:
    given = dict(zip(getattr(kind, "__parameters__", ()), args, strict=False))
    if issubclass(kind, BaseModel):
        return _of_pydantic(kind, kind.model_fields, given, kind.model_config)
    if (infos := getattr(kind, "__pydantic_fields__", None)) is not None:
        return _of_pydantic(kind, infos, given, getattr(kind, "__pydantic_config__", {}))
    if dataclasses.is_dataclass(kind):
        declared = {each.name: each for each in dataclasses.fields(kind)}
        return Fields(
            _field(name, hint, given, declared.get(name))
            for name, hint in _hints(kind, declared).items()
        )
    if typing_extensions.is_typeddict(kind):
        return Fields(
            _field(name, hint, given) for name, hint in _hints(kind, kind.__annotations__).items()
        )
    names = getattr(kind, "_fields", None)
    if issubclass(kind, tuple) and names is not None:
        hints = _hints(kind, names)
        fields = Fields(_field(name, hints[name], given) for name in names)
        fields.places = fields.all
        return fields
    return None


def _of_pydantic(
    kind: type, infos: Mapping[str, FieldInfo], given: Mapping[Any, Any], config: Mapping[str, Any]
) -> Fields:
    found = [_of_info(name, info, given) for name, info in infos.items()]
    decorators: Any = getattr(kind, "__pydantic_decorators__", None)
    for name, computed in {} if decorators is None else decorators.computed_fields.items():
        extra = computed.info.json_schema_extra
        told = computed.info.return_type
        if not isinstance(told, type) and get_origin(told) is None:  # it stands at the function
            told = _hints(computed.info.wrapped_property.fget, ()).get("return")
        found.append(
            JsonField(
                names=frozenset(filter(None, (name, computed.info.alias))),
                type=_filled(told, given),
                is_marked=isinstance(extra, dict) and extra.get("sensitive") is True,
            )
        )
    is_open = config.get("extra") == "allow"
    extra = plain_type(_hints(kind, ()).get("__pydantic_extra__")) if is_open else None
    parts = [part for each in get_args(extra) for part in get_args(each)] or get_args(extra)
    return Fields(found, extra=parts[-1] if parts else None, is_open=is_open)


def _field(name: str, hint: Any, given: Mapping[Any, Any], declared: Any = None) -> JsonField:
    if hint is _UNKNOWN:
        return JsonField(names=frozenset((name,)), is_marked=True)  # nobody can say that it is not
    hint = _unwrapped(hint)
    if declared is not None and (declared.metadata or isinstance(declared.default, FieldInfo)):
        info = FieldInfo.from_annotated_attribute(hint, declared)
    else:
        info = FieldInfo.from_annotation(hint)
    return _of_info(name, info, given)


def _of_info(name: str, info: FieldInfo, given: Mapping[Any, Any]) -> JsonField:
    told = info.validation_alias
    choices = told.choices if isinstance(told, AliasChoices) else [told]
    paths = [tuple(each.path) for each in choices if isinstance(each, AliasPath)]
    told_as = [name, info.alias, info.serialization_alias, *choices]
    told_as += [path[0] for path in paths if len(path) == 1]
    return JsonField(
        names=frozenset(each for each in told_as if isinstance(each, str)),
        paths=tuple(path for path in paths if len(path) > 1),
        type=_filled(info.annotation, given),
        is_marked=is_marked(info),
    )


_UNKNOWN: Final = object()


def _hints(kind: Any, names: Iterable[str]) -> dict[str, Any]:
    """The annotations of something; those of a class that can't be told are unknown."""
    try:
        return get_type_hints(kind, include_extras=True)
    except Exception:  # a name that is known only where the class was made
        return dict.fromkeys(names, _UNKNOWN)


def _unwrapped(hint: Any) -> Any:
    while getattr(get_origin(hint), "_name", None) in _WRAPPERS:
        hint = get_args(hint)[0]
    return hint


def _is_alias(annotation: Any) -> bool:
    return type(annotation).__name__ == "TypeAliasType"


def _filled(annotation: Any, given: Mapping[Any, Any]) -> Any:
    """A type with others in the place of its variables."""
    if isinstance(annotation, TypeVar):
        return given.get(annotation, annotation)
    parameters = () if isinstance(annotation, type) else getattr(annotation, "__parameters__", ())
    if not given or not parameters:
        return annotation
    if get_origin(annotation) is Annotated:
        inner, *rest = get_args(annotation)
        return Annotated[(_filled(inner, given), *rest)]
    return annotation[tuple(given.get(each, each) for each in parameters)]
