"""Which fields are sensitive, and payloads without them, and with them on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import pytest
from pydantic import (
    BaseModel,
    Field,
    RootModel,
    SecretBytes,
    SecretStr,
    computed_field,
    field_validator,
)

from streams.client_request import checked, read_json
from streams.contracts import JobPayload, Sensitive
from streams.errors import PayloadInvalid
from streams.redaction import MASK, redacted
from streams.revealing import wire_json
from streams.sensitive import masked, secrets_in, secrets_of, sensitive_names


class Card(BaseModel):
    number: Sensitive[str]
    holder: str = ""


class Codes(RootModel[list[Sensitive[int]]]):
    pass


class Login(JobPayload, name="login"):
    password: SecretStr
    pin: Annotated[int, Field(json_schema_extra={"sensitive": True})] = 0
    key: SecretBytes | None = None
    cards: list[Card] = Field(default_factory=list, alias="CARDS")
    either: Card | str | None = None
    by_name: dict[str, Card] = Field(default_factory=dict)
    pair: tuple[str, Sensitive[str]] | None = None
    codes: Codes | None = None
    more: dict[str, Any] = Field(default_factory=dict)


class Plain(JobPayload, name="plain"):
    token_count: int = 0


VALUE = {
    "password": "hunter2",
    "pin": 12345,
    "key": "bytes",
    "CARDS": [{"number": "4012", "holder": "A"}],
    "either": {"number": "4013"},
    "by_name": {"a": {"number": "4014", "holder": "B"}},
    "pair": ["shown", "hidden"],
    "codes": [98765],
    "more": {"api-key": "k", "size": 1},
}


def test_what_is_sensitive_is_masked_however_deep() -> None:
    assert masked(Login, VALUE) == {
        "password": "***",
        "pin": "***",
        "key": "***",
        "CARDS": [{"number": "***", "holder": "A"}],
        "either": {"number": "***"},
        "by_name": {"a": {"number": "***", "holder": "B"}},
        "pair": ["shown", "***"],
        "codes": ["***"],
        "more": {"api-key": "***", "size": 1},
    }
    assert masked(Login, {"password": None}) == {"password": None}
    assert masked(Plain, {"token_count": 7}) == {"token_count": 7}


def test_without_a_contract_names_decide() -> None:
    value = {"user": "ada", "Auth": {"x": 1}, "list": [{"access_token": "a", "b": [1]}]}
    assert masked(None, value) == {
        "user": "ada",
        "Auth": "***",
        "list": [{"access_token": "***", "b": [1]}],
    }


def test_a_payload_that_never_ends_is_masked_at_some_depth() -> None:
    value: Any = "deepest"
    for _ in range(500):
        value = {"a": value}
    assert "deepest" not in orjson.dumps(masked(None, value), option=orjson.OPT_INDENT_2).decode()


def test_messages_are_told_without_what_is_sensitive() -> None:
    secrets = secrets_of(Login, orjson.dumps(VALUE))
    assert {"hunter2", "12345", "98765", "hidden"} <= secrets
    assert redacted("hunter2 of 'hunter2', 12345", secrets) == "*** of '***', ***"
    assert redacted(repr("a'b\n"), {"a'b\n"}) in ("'***'", '"***"')
    assert secrets_of(Plain, b'{"token_count": 77777}') == frozenset()
    assert secrets_of(Login, b"no JSON") == frozenset()
    assert "user" not in secrets_in(None, {"user": "user"})


def test_names_of_sensitive_fields() -> None:
    names = sensitive_names(Login)
    assert {"password", "pin", "key", "number", "pair", "root"} <= names
    assert "holder" not in names
    assert sensitive_names(Plain) == frozenset()


def test_secrets_travel_as_what_they_are() -> None:
    model = Login.model_validate(VALUE)
    told = orjson.loads(wire_json(model))
    assert told["password"] == "hunter2"
    assert told["key"] == "bytes"
    assert told["CARDS"] == [{"number": "4012", "holder": "A"}]
    again, payload = checked(model)
    assert again.password.get_secret_value() == "hunter2"
    assert orjson.loads(payload) == told
    assert "hunter2" not in repr(model)


class Checked(JobPayload, name="checked"):
    password: SecretStr
    limit: int = 1

    @field_validator("password")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 10:
            raise ValueError(f"{value.get_secret_value()} is too short")
        return value


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"password": "hunter2"}, "password"),
        ({"password": "long enough", "limit": "hunter2"}, "limit"),
    ],
)
def test_what_does_not_fit_is_not_shown(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(PayloadInvalid) as refused:
        read_json(Checked, orjson.dumps(payload))
    assert refused.value.field == field
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    with pytest.raises(ValueError, match=field) as raw:
        Checked.model_validate(payload)
    assert field == "password" or "hunter2" not in str(raw.value)


class Address(JobPayload, name="address"):
    password: SecretStr
    pin: SecretStr = SecretStr("4711")
    note: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def url(self) -> str:
        return f"https://me:{self.password.get_secret_value()}@shop.example"


def test_a_text_that_is_made_of_a_secret_is_masked_whole() -> None:
    payload = Address(password=SecretStr("hunter-22"), note="box 4711")
    assert masked(Address, orjson.loads(wire_json(payload))) == {
        "password": MASK,
        "pin": MASK,
        "note": "box 4711",  # so short a secret is in many texts
        "url": MASK,
    }
