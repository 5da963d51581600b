"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.durations import format_ms, to_ms


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("250ms", 250),
        ("30s", 30_000),
        ("10m", 600_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("1.5s", 1_500),
        ("0s", 0),
        (timedelta(seconds=2, milliseconds=5), 2_005),
    ],
)
def test_durations_are_milliseconds(written: Any, ms: int) -> None:
    assert to_ms(written) == ms


@pytest.mark.parametrize("wrong", ["", "30", "s", "-1s", "1w", "1 s", "1s2", "٣s", 30, None])
def test_anything_else_is_refused_with_examples(wrong: Any) -> None:
    with pytest.raises(ValueError, match='"250ms", "30s"'):
        to_ms(wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [("-1h", "-1h"), (" -1.5s ", "-1.5s"), (timedelta(hours=-1), "-1h"), ("-0s", "-0s")],
)
def test_a_negative_one_is_told_as_that(wrong: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told} is negative"):
        to_ms(wrong)


def test_what_is_no_duration_is_not_negative() -> None:
    with pytest.raises(ValueError, match="'-soon' is no duration"):
        to_ms("-soon")


@pytest.mark.parametrize(
    ("ms", "text"), [(60_000, "1m"), (90_000, "90s"), (1, "1ms"), (0, "0ms"), (86_400_000, "1d")]
)
def test_formatted_in_the_largest_unit_that_fits(ms: int, text: str) -> None:
    assert format_ms(ms) == text


@given(st.integers(min_value=0, max_value=10**13))
def test_what_is_formatted_reads_back(ms: int) -> None:
    assert to_ms(format_ms(ms)) == ms
