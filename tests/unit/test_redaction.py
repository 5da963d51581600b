"""Texts are told without what is sensitive, in quotes, in JSON, in a URL, and cut by others."""

from __future__ import annotations

import json
import reprlib
import time
from urllib.parse import quote, quote_plus

import pytest
from pydantic import BaseModel, ValidationError

from streams.redaction import redacted

SECRET = 'a "secret" with\nlines, ümlauts & a/slash'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        repr(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
    ],
)
def test_a_secret_is_found_however_it_is_quoted(form: str) -> None:
    text = redacted(f"<{form}>", {SECRET})
    assert "slash" not in text
    assert "***" in text


def test_of_a_long_secret_no_beginning_and_no_end_stays() -> None:
    token = "streams_0123456789abcdefghijklmnopqrstuvwxyz0123456789"
    for cut in (token[:13], token[:40], token[-12:], reprlib.repr(token)):
        told = redacted(f"wrong: {cut}", {token})
        assert told.startswith("wrong: ")
        assert not any(token[at : at + 5] in told for at in range(len(token) - 5)), told


def test_what_pydantic_leaves_of_a_secret_is_not_told() -> None:
    class Reply(BaseModel):
        code: int

    token = "x-" + "0123456789" * 8
    with pytest.raises(ValidationError) as refused:
        Reply.model_validate({"code": token})
    told = redacted(str(refused.value), {token})
    assert "01234" not in told
    assert "code" in told


def test_a_long_text_full_of_pieces_holds_nobody_up() -> None:
    token = "0123456789abcdefghijklmnopqrstuvwxyz"
    began = time.monotonic()
    told = redacted(f"{token[:20]} " * 200_000, {token})
    assert told == "*** " * 200_000
    assert time.monotonic() - began < 5  # and not minutes


def test_a_short_secret_is_only_found_whole() -> None:
    assert redacted("https://example.org, hunter", {"hunter2", "https://a"}) == (
        "https://example.org, hunter"
    )
