"""Which letters a filter means."""

from __future__ import annotations

from typing import Any

import pytest
from letters import a_letter

from streams.replay.letter_filter import LetterFilter

FITTING: list[dict[str, Any]] = [
    {},
    {"letter": "a"},
    {"job": "mail"},
    {"queue": "critical"},
    {"error": "SMTPTimeout"},
    {"error": "smtplib.SMTPTimeout"},
    {"key": "7"},
    {"key": "mail:7"},
    {"text": "NO ANSWER"},
    {"text": "line 3"},
    {"text": "ada@"},
    {"since": 5_000, "until": 5_001},
    {"generation": 2},
    {"job": "mail", "error": "SMTPTimeout", "key": "7"},
]
OTHERS: list[dict[str, Any]] = [
    {"letter": "b"},
    {"job": "mai"},
    {"queue": "bulk"},
    {"error": "Timeout"},
    {"key": "77"},
    {"text": "something else"},
    {"since": 5_001},
    {"until": 5_000},
    {"generation": 0},
    {"job": "mail", "error": "SMTPTimeout", "key": "8"},
]
LETTER = a_letter(
    error="smtplib.SMTPTimeout",
    message="no answer",
    trace="File x, line 3",
    payload=b'{"to":"ada@example.org"}',
    last_failure=5_000,
    generation=2,
)


@pytest.mark.parametrize("said", FITTING, ids=str)
def test_all_that_is_said_fits(said: dict[str, Any]) -> None:
    assert LetterFilter(**said).fits(LETTER)


@pytest.mark.parametrize("said", OTHERS, ids=str)
def test_one_thing_that_does_not_fit_is_enough(said: dict[str, Any]) -> None:
    assert not LetterFilter(**said).fits(LETTER)


def test_what_could_not_be_decoded_has_no_key() -> None:
    assert not LetterFilter(key="7").fits(a_letter(job=None))


def test_a_filter_says_itself_as_it_is_written() -> None:
    assert LetterFilter().told() == ""
    assert LetterFilter(job="mail", generation=0).told() == "--job mail --generation 0"
