"""Numbers and times as people read them."""

from __future__ import annotations

import pytest

from streams.console.words import (
    ago,
    clock,
    following,
    number,
    rate,
    several,
    short,
    size,
    span,
    state_word,
)


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0 ms"),
        (850, "850 ms"),
        (1_500, "1.5 s"),
        (59_000, "59 s"),
        (60_000, "1 min"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (3_605_000, "1 h"),
        (2 * 3_600_000 + 5 * 60_000, "2 h 5 min"),
        (26 * 3_600_000, "1 d 2 h"),
        (-5_000, "5.0 s"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(ms: int, told: str):
    assert span(ms) == told


def test_what_was_and_what_will_be():
    assert ago(1_000, 1_200) == "just now"
    assert ago(0, 61_000) == "1 min 1 s ago"
    assert ago(120_000, 0) == "in 2 min"


def test_numbers():
    assert number(1234567) == "1\u202f234\u202f567"
    assert rate(0) == "0"
    assert rate(3.25) == "3.2/min"
    assert rate(120) == "120/min"
    assert rate(60_000) == "1\u202f000/s"
    assert size(10) == "10 B"
    assert size(2048) == "2.0 KiB"
    assert several(1, "job") == "1 job"
    assert several(2_000, "job") == "2\u202f000 jobs"
    assert clock(0) == "1970-01-01 00:00:00"


def test_names():
    assert short("agents.email.send") == "send"
    assert short("odd.") == "odd."
    assert state_word("dead") == "failed"
    assert state_word("parked") == "parked"


@pytest.mark.parametrize(
    ("connected", "built", "lag", "told"),
    [
        (False, True, 7, ("Kafka does not answer", "")),
        (True, False, 7, ("Building the lists", "43 %")),
        (True, True, 0, ("Follows Kafka", "up to date")),
        (True, True, 1, ("Follows Kafka", "1 record behind")),
        (True, True, 1_000, ("Follows Kafka", "1\u202f000 records behind")),
        (True, True, 1_001, ("Behind Kafka", "1\u202f001 records")),
    ],
)
def test_how_far_a_projection_is(connected: bool, built: bool, lag: int, told: tuple[str, str]):
    assert following(connected=connected, built=built, lag=lag, share=0.43) == told
