"""How far a projection is."""

from __future__ import annotations

from streams.projection.progress import Progress

A, B = ("a", 0), ("b", 0)


def test_it_is_built_when_it_has_what_was_there_at_first() -> None:
    progress = Progress()
    assert not progress.is_built
    progress.begin(position=10, begin=10, end=20, of=A)
    progress.begin(position=0, begin=0, end=0, of=B)
    assert (progress.lag, progress.share, progress.is_built) == (10, 0.0, False)
    progress.ends_at(A, 30)
    progress.moved(A, 20)
    assert (progress.lag, progress.share, progress.is_built) == (10, 0.5, True)
    progress.moved(A, 30)
    assert (progress.lag, progress.share) == (0, 1.0)


def test_a_topic_is_read_on_its_own() -> None:
    progress = Progress()
    progress.begin(position=0, begin=0, end=5, of=A)
    progress.begin(position=0, begin=0, end=5, of=B)
    progress.moved(A, 5)
    assert progress.has_read(["a"])
    assert not progress.has_read(["a", "b"])
    assert progress.has_reached({A: 5, B: 0})
    assert not progress.has_reached({A: 6})


def test_a_position_never_goes_back_but_when_all_starts_anew() -> None:
    progress = Progress()
    progress.begin(position=7, begin=0, end=9, of=A)
    progress.moved(A, 3)
    assert progress.positions == {A: 7}
    progress.start_anew()
    progress.begin(position=0, begin=0, end=9, of=A)
    assert (progress.lag, progress.is_built) == (9, False)


def test_what_was_trimmed_is_not_missing() -> None:
    progress = Progress()
    progress.begin(position=100, begin=100, end=100, of=A)
    assert (progress.lag, progress.share, progress.is_built) == (0, 1.0, True)
