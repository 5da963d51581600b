"""This clock against the broker's: what one record says, and which of several is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.wire.skew import Sample, skew_of


def test_the_fastest_answer_counts() -> None:
    slow = Sample(sent=1_000.0, acknowledged=1_400.0, taken=1_390)
    fast = Sample(sent=2_000.0, acknowledged=2_002.0, taken=1_500)
    skew = skew_of([slow, fast, slow])
    assert skew.ahead_ms == pytest.approx(500.5)
    assert skew.within_ms == pytest.approx(1.5)


def test_none_say_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        skew_of([])


@given(
    ahead=st.floats(-1e6, 1e6),
    there=st.lists(st.floats(0, 500), min_size=1, max_size=7),
    back=st.floats(0, 500),
)
def test_the_truth_is_within_what_it_says(ahead: float, there: list[float], back: float) -> None:
    samples = []
    for n, way in enumerate(there):
        at = 1e9 + n * 10_000  # by the broker's clock
        samples.append(
            Sample(sent=at + ahead, acknowledged=at + ahead + way + back, taken=int(at + way))
        )
    skew = skew_of(samples)
    assert abs(skew.ahead_ms - ahead) <= skew.within_ms + 0.01
