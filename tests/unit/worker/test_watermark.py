"""The offset to commit, against a model that looks at all offsets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.worker.watermark import Watermark

# What the broker hands over: how far each record is behind the one before; 0 and less are copies.
STEPS = st.lists(st.integers(-3, 4), max_size=40)


@given(start=st.integers(0, 5), steps=STEPS, data=st.data())
def test_it_is_the_first_unfinished_offset_whatever_the_order(
    start: int, steps: list[int], data: st.DataObject
) -> None:
    watermark = Watermark(start)
    position, offset = start, start - 1
    unfinished: list[int] = []
    before = watermark.value
    while steps or unfinished:
        if steps and (not unfinished or data.draw(st.booleans(), "read on")):
            offset = max(0, offset + steps.pop(0))
            # what is below the read position was read before, and is somebody's already
            assert watermark.begin(offset) == (offset >= position)
            if offset >= position:
                unfinished.append(offset)
                position = offset + 1
        else:
            watermark.finish(unfinished.pop(data.draw(st.integers(0, len(unfinished) - 1), "ends")))
        expected = min(unfinished, default=position)
        assert watermark.value == expected
        assert watermark.value >= before
        assert watermark.position == position
        assert watermark.held == position - expected
        assert watermark.pending == len(unfinished)
        before = watermark.value
    assert watermark.value == position


@given(st.integers(0, 100), st.integers(0, 100))
def test_skipping_never_goes_back(start: int, to: int) -> None:
    watermark = Watermark(start)
    watermark.skip_to(to)
    assert watermark.value == watermark.position == max(start, to)


def test_what_is_unfinished_holds_also_a_skip() -> None:
    watermark = Watermark(0)
    watermark.begin(3)
    watermark.skip_to(10)
    assert (watermark.value, watermark.position) == (3, 10)
    watermark.finish(3)
    assert watermark.value == 10
