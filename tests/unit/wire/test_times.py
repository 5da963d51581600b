"""Times are written and read as the standard library would, though much is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.wire.times import EARLIEST, LATEST, parse_time, show_time

times = st.integers(EARLIEST, LATEST) | st.integers(0, 2_000_000_000_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(times)
def test_a_time_is_shown_as_rfc_3339_with_milliseconds_and_read_again(ms: int) -> None:
    moment = EPOCH + timedelta(milliseconds=ms)
    shown = show_time(ms)
    assert shown == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert parse_time(shown) == ms


@given(times, st.sampled_from("0123456789TZtz:.- ²٣"), st.integers(0, 23))
def test_a_time_that_is_damaged_is_read_as_the_standard_library_reads_it(
    ms: int, character: str, at: int
) -> None:
    shown = show_time(ms)
    damaged = shown[:at] + character + shown[at + 1 :]
    try:
        moment = datetime.fromisoformat(damaged.strip().upper())
    except ValueError:
        with pytest.raises(ValueError):
            parse_time(damaged)
        return
    wanted = (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)
    if EARLIEST <= wanted <= LATEST:
        assert parse_time(damaged) == wanted
    else:
        with pytest.raises(ValueError):
            parse_time(damaged)


def test_a_time_after_the_latest_is_refused() -> None:
    assert parse_time("9999-12-31T23:59:59.000Z") == LATEST
    for late in ("9999-12-31T23:59:59.001Z", "9999-12-31T23:59:59.500Z"):
        with pytest.raises(ValueError):
            parse_time(late)
