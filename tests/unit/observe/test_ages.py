"""For how long a commit stands still."""

from __future__ import annotations

from streams.observe.ages import Commit, CommitAges

ONE, OTHER = ("default", 0), ("default", 1)


def test_a_commit_ages_while_there_is_more_and_it_does_not_move() -> None:
    ages = CommitAges()
    behind = Commit(offset=5, end=9)
    assert ages.look({ONE: behind}, 1_000) == {ONE: 0}
    assert ages.look({ONE: behind}, 4_000) == {ONE: 3_000}
    assert ages.look({ONE: Commit(offset=6, end=9)}, 5_000) == {ONE: 0}
    assert ages.look({ONE: Commit(offset=6, end=20)}, 7_000) == {ONE: 2_000}


def test_one_that_has_all_does_not_age_and_begins_anew_when_there_is_more() -> None:
    ages = CommitAges()
    ages.look({ONE: Commit(offset=5, end=9)}, 0)
    assert ages.look({ONE: Commit(offset=9, end=9)}, 50_000) == {ONE: 0}
    assert ages.look({ONE: Commit(offset=9, end=9)}, 90_000) == {ONE: 0}
    assert ages.look({ONE: Commit(offset=9, end=10)}, 91_000) == {ONE: 0}
    assert ages.look({ONE: Commit(offset=9, end=10)}, 92_000) == {ONE: 1_000}


def test_a_partition_that_was_elsewhere_meanwhile_begins_anew() -> None:
    ages = CommitAges()
    behind = Commit(offset=5, end=9)
    ages.look({ONE: behind, OTHER: behind}, 0)
    assert ages.look({OTHER: behind}, 10_000) == {OTHER: 10_000}
    assert ages.look({ONE: behind, OTHER: behind}, 20_000) == {ONE: 0, OTHER: 20_000}


def test_a_clock_that_is_put_back_makes_no_negative_age() -> None:
    ages = CommitAges()
    ages.look({ONE: Commit(offset=5, end=9)}, 10_000)
    assert ages.look({ONE: Commit(offset=5, end=9)}, 4_000) == {ONE: 0}
