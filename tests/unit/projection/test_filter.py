"""Filters and cursors, as they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.projection.filter import BadFilter, Cursor, Filter, read_states
from streams.projection.states import CODES, NAMES

whole = st.integers(-(2**62) + 1, 2**62 - 1)


@given(whole, whole, st.booleans())
def test_a_cursor_is_read_as_it_was_written(at: int, n: int, newest_first: bool) -> None:
    cursor = Cursor(at, n, newest_first)
    assert Cursor.read(cursor.text()) == cursor


@pytest.mark.parametrize(
    "text", ["", "x", "é", "WzFd", "WzEsMiwzXQ", "WzEsMi41LHRydWVd", "e30", "A" * 500, "\ud800"]
)
def test_another_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadFilter, match="cursor"):
        Cursor.read(text)


def test_a_cursor_that_is_out_of_range_is_refused() -> None:
    with pytest.raises(BadFilter):
        Cursor.read(Cursor(2**63, 1).text())


def test_states_are_named_alone_and_in_groups() -> None:
    assert read_states("") == frozenset()
    assert read_states("dead") == {CODES["dead"]}
    assert read_states(" waiting , failed,") == {CODES["queued"], CODES["parked"], CODES["dead"]}
    assert read_states(",".join(NAMES)) == set(range(len(NAMES)))


def test_another_state_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadFilter, match=r"'lost' is none; write some of waiting, .*untold"):
        read_states("dead,lost")


def test_a_filter_has_no_character_with_the_code_0() -> None:
    for field in ("text", "key", "name", "error"):
        with pytest.raises(BadFilter, match="code 0"):
            Filter(**{field: "a\0b"})
