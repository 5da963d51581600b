"""Values as answers show them."""

from __future__ import annotations

import json

import pytest

from streams.console.views import parsed


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"card": "4111"', b'"\\ud800"', b""])
def test_what_is_no_json_is_masked_whole(raw: bytes):
    assert parsed(raw) == "***"


def test_numbers_that_json_does_not_have_do_not_hide_the_rest():
    value = parsed(b'{"score": NaN, "list": [Infinity, 1e400], "big": 36893488147419103232}')

    assert value == {"score": "nan", "list": ["inf", "inf"], "big": 2**65}
    json.dumps(value, allow_nan=False)
