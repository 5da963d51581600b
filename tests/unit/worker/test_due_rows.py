"""Which rows of the index by due time are to be looked at: none is forgotten, old ones in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.worker.due_rows import DueRows


def row(number: int) -> bytes:
    return number.to_bytes(2, "big")


def test_what_is_behind_is_looked_at_in_its_order_and_holds_up_nothing() -> None:
    rows = DueRows()
    rows.seen(row(1))
    rows.fall_behind(row(10))
    assert rows.cursor == row(10)
    assert rows.behind == (row(1) + b"\x00", row(10))
    rows.seen(row(12))
    rows.fall_behind(row(20))  # another time, with rows between that were looked at
    rows.seen_behind(row(4))
    assert rows.behind == (row(4) + b"\x00", row(10))
    rows.caught_up()
    assert rows.behind == (row(12) + b"\x00", row(20))
    rows.caught_up()
    assert rows.behind is None


def test_falling_behind_again_at_once_is_one_range() -> None:
    rows = DueRows()
    rows.fall_behind(row(10))
    rows.fall_behind(row(20))
    assert rows.behind == (b"", row(20))
    rows.fall_behind(row(15))  # a clock that was set back
    assert rows.cursor == row(20)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 40)),
        st.tuples(st.just("look"), st.integers(1, 40)),
        st.tuples(st.just("look behind"), st.integers(1, 5)),
        st.tuples(st.just("fall behind"), st.integers(0, 40)),
        st.tuples(st.just("look again"), st.integers(0, 35)),
        st.tuples(st.just("clock is put back"), st.integers(0, 40)),
    ),
    max_size=60,
)


@given(STEPS)
def test_each_row_that_was_written_is_looked_at(steps: list[tuple[str, int]]) -> None:
    rows, unseen = DueRows(), set[bytes]()

    def look(most: int, until: int) -> None:
        for each in sorted(each for each in unseen if rows.cursor <= each <= row(until))[:most]:
            rows.seen(each)
            unseen.discard(each)

    def look_behind(most: int) -> None:
        assert rows.behind is not None
        start, end = rows.behind
        assert start < end <= rows.cursor
        found = sorted(each for each in unseen if start <= each < end)
        for each in found[:most]:
            rows.seen_behind(each)
            unseen.discard(each)
        if len(found) <= most:
            rows.caught_up()

    for what, number in steps:
        if what == "write":
            unseen.add(row(number))
            rows.note(row(number))
        elif what == "look":
            look(3, number)
        elif what == "look behind" and rows.behind is not None:
            look_behind(number)
        elif what == "fall behind":
            rows.fall_behind(row(number))
        elif what == "look again":
            unseen |= {row(number), row(number + 3), row(number + 5)}
            rows.look_again(row(number), row(number + 5))
        elif what == "clock is put back":
            rows.turn_back(row(number))
    while rows.behind is not None:
        look_behind(100)
    look(100, 40)
    assert not unseen
