"""Payloads as they travel: every secret is written out, or it is said that it can't be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from pydantic import Secret, SecretBytes, SecretStr, SerializeAsAny
from pydantic_core import PydanticSerializationError

from streams import JobPayload
from streams.revealing import wire_json

STARS = "**********"


class Base(JobPayload, name="base"):
    n: int = 1


class Card(Base, name="card"):
    number: SecretStr


class Keys(JobPayload, name="keys"):
    of: dict[SecretStr, int]


class Whole(JobPayload, name="whole"):
    card: Secret[Card]


class Any_(JobPayload, name="any"):
    inner: SerializeAsAny[Base]


class Lazy(JobPayload, name="lazy"):
    many: Iterable[SecretStr]


class Text(JobPayload, name="text"):
    said: str
    also: SecretBytes | None = None


def sent(payload: JobPayload) -> Any:
    return orjson.loads(wire_json(payload))


def test_secrets_that_are_keys_are_written_out() -> None:
    assert sent(Keys(of={SecretStr("a"): 1, SecretStr("b"): 2})) == {"of": {"a": 1, "b": 2}}


def test_a_secret_of_a_model_is_that_model_written_out() -> None:
    card = Card(number=SecretStr("4711"))
    assert sent(Whole(card=Secret[Card](card))) == {"card": {"n": 1, "number": "4711"}}


def test_secrets_that_only_a_subclass_has_are_written_out() -> None:
    payload = Any_(inner=Card(number=SecretStr("4711")))
    assert sent(payload) == {"inner": {"n": 1, "number": "4711"}}


def test_a_secret_that_can_not_be_written_out_is_refused_and_not_sent_as_asterisks() -> None:
    lazy = Lazy.model_validate({"many": ["a", "b"]})
    with pytest.raises(PydanticSerializationError, match="secret"):
        wire_json(lazy)


def test_asterisks_that_somebody_wrote_are_sent_as_they_are() -> None:
    assert sent(Text(said=STARS)) == {"said": STARS, "also": None}
    assert sent(Text(said=STARS, also=SecretBytes(b"x"))) == {"said": STARS, "also": "x"}
