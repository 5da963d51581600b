"""Pages of jobs, against what a list in memory says."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.projection import listing as pages
from streams.projection import search
from streams.projection.connecting import connect
from streams.projection.filter import Cursor, Filter
from streams.projection.hashes import bare, hash_of, hash_of_id
from streams.projection.job_rows import write_rows
from streams.projection.listing import Listing
from streams.projection.row import Row
from streams.projection.states import COMPLETED, DEAD, FIRST_OVER, NAMES
from streams.projection.store import Store

KINDS = [("default", "mail"), ("default", "resize"), ("bulk", "mail")]
ERRORS = ["ValueError", "TimeoutError"]
KEYS = [None, "mail:1", "mail:2", "resize:1", "a:mail:1", "1", "mail:"]
STATES = [0, DEAD, COMPLETED, len(NAMES) - 1]  # few of all, so that they meet
TEXTS = [
    "",
    "axb",
    "Abc",
    "aBcd",
    "50%",
    "a_b",
    "back\\slash",
    "Straße",
    "STRASSE",
    "ÄRGER",
    "ärger",
]

rows = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.integers(1, len(KINDS)),
            "id": st.sampled_from(["x1", "Abc-1", "0198c0de-0000-7000-8000-00000000000a"]),
            "key": st.sampled_from(KEYS),
            "parent": st.sampled_from([None, "p1", "p2"]),
            "error": st.sampled_from([None, 1, 2]),
            "message": st.sampled_from([None, *TEXTS]),
            "state": st.sampled_from(STATES),
            "at": st.integers(100, 104),
        }
    ),
    max_size=25,
)
filters = st.builds(
    Filter,
    states=st.frozensets(st.sampled_from(STATES), max_size=2),
    queue=st.sampled_from([None, None, "default", "bulk", "other"]),
    name=st.sampled_from([None, None, "mail", "other"]),
    key=st.sampled_from([None, None, *KEYS, "none"]),
    error=st.sampled_from([None, None, *ERRORS, "OtherError"]),
    text=st.sampled_from([None, None, None, *TEXTS, "abc", "ABC", "%", "_", "\\", "nowhere"]),
    parent=st.sampled_from([None, None, None, "p1", "p3"]),
    since=st.sampled_from([None, None, 101]),
    until=st.sampled_from([None, None, 103]),
)
floors = st.dictionaries(
    st.tuples(st.sampled_from(["default", "bulk"]), st.sampled_from(STATES[1:])),
    st.integers(101, 104),
    max_size=4,
)


def filled(told: list[dict[str, Any]]) -> tuple[Any, list[Row]]:
    """A file with these rows."""
    db = connect(None, is_writer=True)
    store = Store(db)
    for queue, name in KINDS:
        store._number_kind((queue, name))
    for error in ERRORS:
        store._error(error)
    made = []
    for n, each in enumerate(told, 1):
        key = each["key"]
        row = Row(
            hash_of_id(each["id"]),
            each["kind"],
            0,
            each["id"],
            key,
            None if key is None else hash_of(bare(key)),
        )
        row.n = n
        for name in ("parent", "error", "message", "state", "at"):
            setattr(row, name, each[name])
        made.append(row)
    write_rows(db, made)
    for row in made:
        db.execute(
            "insert into counts values (?, ?, 1) on conflict do update set number = number + 1",
            (row.kind, row.state),
        )
    return db, made


def fits(row: Row, wanted: Filter, lowest: dict[tuple[str, int], int]) -> bool:
    """Whether a row is wanted, said without an index."""
    queue, name = KINDS[row.kind - 1]
    floor = lowest.get((queue, row.state))
    if (row.state >= FIRST_OVER or row.state == DEAD) and floor is not None and row.at < floor:
        return False
    if wanted.states and row.state not in wanted.states:
        return False
    if wanted.queue not in (None, queue) or wanted.name not in (None, name):
        return False
    if wanted.key is not None and (row.key is None or wanted.key not in (row.key, bare(row.key))):
        return False
    if wanted.error is not None and (row.error is None or ERRORS[row.error - 1] != wanted.error):
        return False
    if wanted.parent not in (None, row.parent):
        return False
    if wanted.since is not None and row.at < wanted.since:
        return False
    if wanted.until is not None and row.at >= wanted.until:
        return False
    if wanted.text:
        fold = str.lower if wanted.text.isascii() else str.casefold
        texts = [text for text in (row.id, row.key, row.message) if text is not None]
        return any(fold(wanted.text) in fold(text) for text in texts)
    return True


@settings(max_examples=600, deadline=None)
@given(
    told=rows,
    wanted=filters,
    lowest=floors,
    newest_first=st.booleans(),
    limit=st.integers(1, 7),
    hurry=st.booleans(),
    looks=st.integers(1, 5),
    merged=st.integers(1, 4),
)
def test_pages_have_every_row_that_is_wanted_once_and_in_order(
    told: list[dict[str, Any]],
    wanted: Filter,
    lowest: dict[tuple[str, int], int],
    newest_first: bool,
    limit: int,
    hurry: bool,
    looks: int,
    merged: int,
) -> None:
    # given rows
    db, made = filled(told)
    # when they are read page by page, with or without time to look at more than a few
    clock = iter(range(10_000))
    listing = Listing(db, clock=(lambda: float(next(clock))) if hurry else lambda: 0.0)
    found: list[Row] = []
    cursor: Cursor | None = None
    with (
        patch.object(pages, "_LOOKS_FIRST", looks),
        patch.object(pages, "_LOOKS_MIN", looks),
        patch.object(pages, "_LOOKS_MAX", looks * 2),
        patch.object(search, "_MERGED_MAX", merged),
    ):
        for _ in range(len(made) + 2):
            page = listing.page(
                wanted,
                limit=limit,
                cursor=cursor,
                newest_first=newest_first if cursor is None else not newest_first,
                floors=lowest,
            )
            assert len(page.rows) <= limit
            assert not page.is_partial or page.cursor is not None
            found += page.rows
            cursor = None if page.cursor is None else Cursor.read(page.cursor.text())
            if cursor is None:
                break
    db.close()
    # then those that are wanted were there, in order
    expected = [row for row in made if fits(row, wanted, lowest)]
    expected.sort(key=lambda row: (row.at, row.n), reverse=newest_first)
    assert [row.n for row in found] == [row.n for row in expected]


def test_what_ended_at_the_floor_is_listed_however_it_is_found() -> None:
    job = {"kind": 1, "id": "x", "key": "mail:1", "parent": "p", "error": 1, "message": "m"}
    db, _ = filled([{**job, "state": DEAD, "at": at} for at in (99, 100, 101)])
    lowest = {("default", DEAD): 100}
    for wanted in (Filter(), Filter(key="1"), Filter(error="ValueError"), Filter(parent="p")):
        page = Listing(db).page(wanted, limit=9, floors=lowest)
        assert [row.at for row in page.rows] == [101, 100]
    until = Listing(db).page(Filter(key="1", until=101), limit=9, floors=lowest)
    assert [row.at for row in until.rows] == [100]
    db.close()


def test_a_page_does_not_pass_what_other_sources_were_not_looked_at() -> None:
    job = {"id": "x", "key": None, "parent": None, "error": None, "message": "m", "state": 0}
    for newest_first in (True, False):
        # one has many rows, the other one a row that is far behind
        far = 90 if newest_first else 110
        told = [{**job, "kind": 1, "at": at} for at in (100, 101, 102, 103)]
        told += [{**job, "kind": 2, "at": at} for at in (far, 103 if newest_first else 100)]
        db, _ = filled(told)
        with patch.object(search, "_MERGED_MAX", 1), patch.object(pages, "_LOOKS_FIRST", 2):
            page = Listing(db).page(Filter(text="M"), limit=4, newest_first=newest_first)
        ats = [103, 103, 102, 101] if newest_first else [100, 100, 101, 102]
        assert [row.at for row in page.rows] == ats
        db.close()
