"""Which file a projection is in, and when it is made anew."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from told import NOW, ROLES, Topics

from streams.errors import SettingsError
from streams.projection.batch import Batch, Reader
from streams.projection.connecting import connect
from streams.projection.file import STALE_MS, claim, open_store
from streams.projection.listing import Listing

SOURCE = "cluster t."
QUEUES = ("default", "bulk")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one job, written now."""
    path = tmp_path / "projection.sqlite"
    store = open_store(path, SOURCE, QUEUES, NOW)
    batch, topics = Batch(), Topics()
    Reader(ROLES, store.places()).read([topics.sent("1")], batch)
    store.apply(batch)
    store.note("written", str(NOW))
    store.close()
    return path


def has_job(path: Path, source: str = SOURCE, queues: tuple[str, ...] = QUEUES, now: int = NOW):
    """Whether the file is gone on with."""
    store = open_store(path, source, queues, now)
    try:
        return bool(store.places())
    finally:
        store.close()


def test_it_goes_on_with_its_own_file(path: Path) -> None:
    assert has_job(path)


def test_more_queues_are_no_reason_to_make_it_anew(path: Path) -> None:
    assert has_job(path, queues=("critical", *QUEUES))


def test_fewer_queues_are_as_their_rows_would_stay_as_they_are(path: Path) -> None:
    assert not has_job(path, queues=("default",))


@pytest.mark.parametrize("source", ["other t.", "cluster u.", "cluster"])
def test_another_cluster_or_prefix_is_another_projection(path: Path, source: str) -> None:
    assert not has_job(path, source)


def test_one_that_is_stale_is_made_anew(path: Path) -> None:
    assert has_job(path, now=NOW + STALE_MS - 1)
    assert not has_job(path, now=NOW + STALE_MS)


def test_another_version_is_made_anew(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 99")
    assert not has_job(path)


@pytest.mark.parametrize("content", [b"", b"not a file of SQLite at all" * 100])
def test_what_is_no_file_of_ours_is_made_anew(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert not has_job(path)


def test_one_whose_tables_are_gone_is_made_anew(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("drop table commits")
    assert not has_job(path)


def test_one_that_is_torn_is_made_anew(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = os.urandom(3996)  # the table of tables
    path.write_bytes(content)
    assert not has_job(path)


def test_others_can_not_read_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_has_a_file_of_its_own_and_the_next_one_gets_the_first_that_is_free(
    tmp_path: Path,
) -> None:
    with claim(tmp_path / "console") as first:
        with claim(tmp_path / "console") as second:
            assert (first.name, second.name) == ("projection.sqlite", "projection-2.sqlite")
        with claim(tmp_path / "console") as third:
            assert third == second
    with claim(tmp_path / "console") as fourth:
        assert fourth == first
    assert stat.S_IMODE((tmp_path / "console").stat().st_mode) == 0o700


def test_a_directory_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="STREAMS_DATA_DIR"), claim(tmp_path / "file" / "x"):
        pass


def test_a_reader_makes_no_file_and_writes_to_none(path: Path, tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        connect(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()
    reader = connect(path)
    assert [row.id for row in Listing(reader).with_id("1")] == ["1"]
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("delete from jobs")
    reader.close()
