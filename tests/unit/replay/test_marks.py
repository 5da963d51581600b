"""Marks of what runs: there for whoever comes after the process that wrote them."""

from __future__ import annotations

import os
from pathlib import Path

from streams.replay.marks import Marks, read_marks


def test_a_process_that_ends_in_the_middle_leaves_what_it_ran(tmp_path: Path) -> None:
    file = tmp_path / "marks"
    child = os.fork()
    if not child:
        marks = Marks(file)
        with marks.running({"id": "a"}):
            pass
        marks.count(1, 0)
        with marks.running({"id": "b"}), marks.running({"id": "c"}):
            os._exit(0)
    os.waitpid(child, 0)

    found = read_marks(file)
    assert (found.code, found.jobs, found.different) == (None, 1, 0)
    assert [job["id"] for job in found.running] == ["b", "c"]


def test_what_ended_in_its_order_says_its_code(tmp_path: Path) -> None:
    file = tmp_path / "marks"
    marks = Marks(file)
    with marks.running({"id": "x" * 10_000}):
        (running,) = read_marks(file).running
        assert "too long" in running["id"]
    marks.count(7, 2, 1)
    assert read_marks(file).running == []
    assert (read_marks(file).jobs, read_marks(file).different, read_marks(file).code) == (7, 2, 1)


def test_nothing_was_marked(tmp_path: Path) -> None:
    assert read_marks(tmp_path / "none").code is None
