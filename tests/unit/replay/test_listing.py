"""Pages and groups of letters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import pytest
from letters import a_letter

from streams.replay.letters import Letter
from streams.replay.listing import groups_of, page_of


async def stream(letters: Iterable[Letter]) -> AsyncIterator[Letter]:
    for letter in letters:
        yield letter


def many(count: int) -> list[Letter]:
    """In no order; two of each failed at the same time."""
    found = [a_letter(str(n), last_failure=1_000 + n // 2, place=(n % 3, n)) for n in range(count)]
    return found[1::2] + found[::2]


async def test_pages_have_each_letter_once_the_newest_first() -> None:
    letters, seen, cursor = many(25), [], None
    sizes = []
    while True:
        page = await page_of(stream(letters), 10, cursor)
        assert page.matching == 25
        sizes.append(len(page.letters))
        seen += page.letters
        cursor = page.next
        if cursor is None:
            break
    assert sizes == [10, 10, 5]
    assert {letter.id for letter in seen} == {str(n) for n in range(25)}
    failed = [letter.last_failure for letter in seen]
    assert failed == sorted(failed, reverse=True)


async def test_a_page_that_has_the_last_one_has_no_next() -> None:
    assert (await page_of(stream(many(10)), 10)).next is None
    assert (await page_of(stream([]), 10)).letters == []


@pytest.mark.parametrize("cursor", ["x", "1-2", "1-2-x"])
async def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        await page_of(stream([]), 10, cursor)


async def test_groups_are_counted_the_largest_first() -> None:
    letters = [
        a_letter("1", error="A", last_failure=5),
        a_letter("2", error="B", last_failure=9),
        a_letter("3", error="B", last_failure=7),
    ]
    found = await groups_of(stream(letters), "error")
    assert [(g.value, g.count, g.first, g.last, g.example) for g in found] == [
        ("B", 2, 7, 9, "2"),
        ("A", 1, 5, 5, "1"),
    ]
