"""What is sensitive is found in whatever a contract is made of, under each of its names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypeVar,
)

import orjson
import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Secret,
    SecretStr,
    computed_field,
)
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType, TypedDict

from streams.client_request import checked
from streams.contracts import JobPayload, Sensitive
from streams.revealing import wire_json
from streams.sensitive import masked, secrets_in, secrets_of, sensitive_names

HIDDEN = "hidden-from-all"
T = TypeVar("T")


class Dictionary(TypedDict):
    number: Required[Sensitive[str]]
    pin: NotRequired[SecretStr]
    shown: NotRequired[str]


class CamelDictionary(TypedDict):
    __pydantic_config__ = ConfigDict(alias_generator=to_camel)  # type: ignore[misc]
    card_number: Sensitive[str]


class Pair(TypedDict, Generic[T]):
    first: T
    shown: str


@dataclasses.dataclass
class Plain:
    number: Sensitive[str]
    pin: SecretStr | None = None
    marked: str = dataclasses.field(
        default="", metadata={"json_schema_extra": {"sensitive": True}, "alias": "markedAs"}
    )
    shown: str = ""


@dataclasses.dataclass
class Parent:
    inner: Plain


@dataclasses.dataclass
class Of(Generic[T]):
    first: T


@pydantic_dataclass(config=ConfigDict(alias_generator=to_camel, populate_by_name=True))
class Typed:
    card_number: Sensitive[str]
    shown: str = ""


class Tuple(NamedTuple):
    number: Sensitive[str]
    shown: str = ""


class Model(BaseModel):
    number: Sensitive[str]
    shown: str = ""


class Box(BaseModel, Generic[T]):
    first: T


class Root(RootModel[dict[str, Model]]):
    pass


class SecretRoot(RootModel[SecretStr]):
    pass


class Cat(BaseModel):
    kind: Literal["cat"]
    number: Sensitive[str]


class Dog(BaseModel):
    kind: Literal["dog"]
    number: str


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, SecretStr]


class Computing(BaseModel):
    number: str = "shown"

    @computed_field(json_schema_extra={"sensitive": True})  # type: ignore[prop-decorator]
    @property
    def declared(self) -> str:
        return HIDDEN

    @computed_field  # type: ignore[prop-decorator]
    @property
    def typed(self) -> Sensitive[str]:
        return HIDDEN


class SecretInt(Secret[int]):
    pass


Pet = Annotated[Cat | Dog, Discriminator("kind")]
Alias = TypeAliasType("Alias", list[Sensitive[str]])
AliasOf = TypeAliasType("AliasOf", dict[str, T], type_params=(T,))
New = NewType("New", SecretStr)

GOES_IN = {"number": HIDDEN, "shown": "shown"}
COMES_OUT = {"number": "***", "shown": "shown"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Dictionary, {**GOES_IN, "pin": HIDDEN}, {**COMES_OUT, "pin": "***"}),
        (CamelDictionary, {"cardNumber": HIDDEN}, {"cardNumber": "***"}),
        (Pair[Sensitive[str]], {"first": HIDDEN, "shown": "a"}, {"first": "***", "shown": "a"}),
        (Plain, {**GOES_IN, "pin": HIDDEN}, {**COMES_OUT, "pin": "***"}),
        (Plain, {**GOES_IN, "markedAs": HIDDEN}, {**COMES_OUT, "markedAs": "***"}),
        (Parent, {"inner": GOES_IN}, {"inner": COMES_OUT}),
        (Of[SecretStr], {"first": HIDDEN}, {"first": "***"}),
        (Of[list[Plain]], {"first": [GOES_IN]}, {"first": [COMES_OUT]}),
        (Typed, {"cardNumber": HIDDEN, "shown": "a"}, {"cardNumber": "***", "shown": "a"}),
        (Typed, {"card_number": HIDDEN}, {"card_number": "***"}),
        (Tuple, [HIDDEN, "shown"], ["***", "shown"]),
        (Tuple, GOES_IN, COMES_OUT),
        (Box[Sensitive[str]], {"first": HIDDEN}, {"first": "***"}),
        (Box[Dictionary], {"first": GOES_IN}, {"first": COMES_OUT}),
        (Root, {"a": GOES_IN}, {"a": COMES_OUT}),
        (SecretRoot, HIDDEN, "***"),
        (Open, {"anything": HIDDEN}, {"anything": "***"}),
        (Secret[int], 123456, "***"),
        (SecretInt, 123456, "***"),
        (New, HIDDEN, "***"),
        (Alias, [HIDDEN], ["***"]),
        (AliasOf[SecretStr], {"a": HIDDEN}, {"a": "***"}),
        (AliasOf[Plain], {"a": GOES_IN}, {"a": COMES_OUT}),
        (Annotated[Sensitive[str], Field(min_length=1)], HIDDEN, "***"),
        (Annotated[Sensitive[str], Field(json_schema_extra={"a": 1})], HIDDEN, "***"),
        (Sensitive[str] | None, HIDDEN, "***"),
        (Sensitive[str] | int, HIDDEN, "***"),
        (Model | str, "shown", "shown"),
        (Model | str, GOES_IN, COMES_OUT),
        (Model | Plain, GOES_IN, COMES_OUT),
        (list[Model | None], [None, GOES_IN], [None, COMES_OUT]),
        (set[Sensitive[str]], [HIDDEN], ["***"]),
        (frozenset[SecretStr], [HIDDEN], ["***"]),
        (tuple[str, ...], ["shown"], ["shown"]),
        (tuple[Sensitive[str], ...], [HIDDEN, HIDDEN], ["***", "***"]),
        (tuple[int, Plain], [1, GOES_IN], [1, COMES_OUT]),
        (Mapping[str, Sensitive[str]], {"a": HIDDEN}, {"a": "***"}),
        (dict[str, str], {"Auth": HIDDEN, "a": "shown"}, {"Auth": "***", "a": "shown"}),
        (Pet, {"kind": "cat", "number": HIDDEN}, {"kind": "cat", "number": "***"}),
        (Pet, {"kind": "dog", "number": "1"}, {"kind": "dog", "number": "1"}),
        (Computing, {"number": "1", "declared": HIDDEN}, {"number": "1", "declared": "***"}),
        (Computing, {"number": "1", "typed": HIDDEN}, {"number": "1", "typed": "***"}),
        (Model, HIDDEN, "***"),  # what a validator may take as well
        (list[Model], {"a": HIDDEN}, "***"),
    ],
)  # fmt: skip
def test_what_is_sensitive_is_hidden_in(kind: Any, value: Any, expected: Any) -> None:
    contract: Any = type("Made", (BaseModel,), {"__annotations__": {"field": kind}})
    payload = {"field": value}
    assert masked(contract, payload) == {"field": expected}
    hides = expected != value
    if hides:
        assert secrets_in(contract, payload) & {HIDDEN, "123456"}
        assert secrets_of(contract, orjson.dumps(payload)) == secrets_in(contract, payload)


class Named(JobPayload, name="named"):
    chosen: Sensitive[str] = Field("", validation_alias=AliasChoices("one", "other"))
    deep: SecretStr = Field(SecretStr(""), validation_alias=AliasPath("settings", "keys", 1))
    either: Sensitive[str] = Field("", validation_alias=AliasChoices("own", AliasPath("list", 0)))
    told: Sensitive[str] = Field("", serialization_alias="toldAs")
    inner: Plain | None = Field(None, validation_alias=AliasPath("settings", "inner"))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"one": HIDDEN}, {"one": "***"}),
        ({"other": HIDDEN}, {"other": "***"}),
        ({"chosen": HIDDEN}, {"chosen": "***"}),
        ({"own": HIDDEN}, {"own": "***"}),
        ({"toldAs": HIDDEN}, {"toldAs": "***"}),
        ({"told": HIDDEN}, {"told": "***"}),
        ({"list": [HIDDEN, "a"]}, {"list": ["***", "a"]}),
        (
            {"settings": {"keys": ["a", HIDDEN], "inner": GOES_IN, "more": 1}},
            {"settings": {"keys": ["a", "***"], "inner": COMES_OUT, "more": 1}},
        ),
        ({"settings": "of another form", "list": []}, {"settings": "of another form", "list": []}),
    ],
)
def test_what_is_sensitive_is_hidden_under_each_of_its_names(
    payload: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert masked(Named, payload) == expected
    assert {"one", "other", "keys", "settings", "toldAs", "number"} <= sensitive_names(Named)


def test_a_class_that_can_not_be_told_hides_all_that_it_has() -> None:
    class Unknown(TypedDict):
        number: Nowhere  # type: ignore[name-defined]  # noqa: F821

    contract: Any = type("Made", (BaseModel,), {"__annotations__": {"other": int}})
    contract.model_fields["other"].annotation = Unknown
    assert masked(contract, {"other": {"number": "1234"}}) == {"other": {"number": "***"}}


def test_a_contract_that_says_what_each_value_is_is_not_looked_through() -> None:
    class Closed(BaseModel):
        token_count: int = 0
        names: list[str] = Field(default_factory=list)

    class Loose(BaseModel):
        headers: dict[str, Any] = Field(default_factory=dict)

    # given JSON that can't be read: who looks at it finds nothing, and who need not, neither
    assert secrets_of(Closed, b'{"token_count": 77777}') == frozenset()
    assert secrets_of(Loose, b'{"headers": {"api-key": "k-12345"}}') == {"k-12345"}


class Sent(JobPayload, name="sent"):
    dictionary: Dictionary
    plain: Plain
    typed: Typed
    pair: Tuple
    keys: frozenset[SecretStr]
    of: Of[SecretStr]


def test_secrets_of_all_kinds_travel_as_what_they_are() -> None:
    value = {
        "dictionary": {"number": "1", "pin": "2"},
        "plain": {"number": "3", "pin": "4"},
        "typed": {"cardNumber": "5"},
        "pair": ["6", "a"],
        "keys": ["7", "8"],
        "of": {"first": "9"},
    }
    told = orjson.loads(wire_json(Sent.model_validate(value)))
    assert told["dictionary"] == {"number": "1", "pin": "2"}
    assert (told["plain"]["pin"], told["of"]["first"], told["pair"]) == ("4", "9", ["6", "a"])
    assert sorted(told["keys"]) == ["7", "8"]
    _, payload = checked(Sent.model_validate(value))
    assert b"**" not in payload
